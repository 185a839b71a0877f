# The page and its HTTP API on the CPU:  docker build -t maskexplain . && docker run -p 7860:7860 maskexplain
FROM python:3.12-slim

RUN useradd --create-home app
WORKDIR /home/app
COPY requirements.txt .
# pip reads it: PyTorch's own index of CPU builds, given by --build-arg, saves some 4 GB of CUDA.
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=app . .

USER app
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["python", "app.py"]

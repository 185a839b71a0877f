# The page and its HTTP API on the CPU (docs/http.md):
#   docker build -t maskexplain --build-arg TORCH_INDEX=ADDRESS .
#   docker run --read-only --tmpfs /tmp -p 7860:7860 maskexplain
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 app
WORKDIR /home/app
COPY locks locks
# The address of PyTorch's CPU builds; TORCH=cuda takes those with CUDA, some 4 GB more.
ARG TORCH=cpu
ARG TORCH_INDEX
RUN if [ "$TORCH" = cuda ]; then \
        pip install --no-cache-dir --no-deps --require-hashes -r locks/torch.txt; \
    elif [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" \
            $(grep -oE '^torch(vision)?==[^ ]+' locks/torch.txt); \
    else \
        echo "Give --build-arg TORCH_INDEX=..., the address of PyTorch's CPU builds, or TORCH=cuda." >&2; \
        exit 1; \
    fi
RUN pip install --no-cache-dir --no-deps --require-hashes -r locks/serve.txt
COPY . .

USER app
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 7860, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "app.py"]

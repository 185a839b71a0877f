"""What the page shows, as HTML and SVG; no Gradio here."""

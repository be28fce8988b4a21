"""Reading logs of any size: lines by their place in the file, searched by another process, drawn page by page."""

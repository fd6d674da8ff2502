"""HTTP: the server of scores. Starlette and uvicorn are imported here only."""

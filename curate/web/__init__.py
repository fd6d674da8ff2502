"""HTTP: the server of scores, and the page to look at pairs. Starlette and uvicorn are imported here only."""

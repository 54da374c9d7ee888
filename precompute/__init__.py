"""The offline job: fetch, run, import, build."""

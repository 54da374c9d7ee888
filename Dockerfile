# The app alone: data/ with a built store is mounted, worker environments too where live prediction is wanted.
#   docker build -t defect-atlas . && docker run -p 8501:8501 -v ./data:/atlas/data defect-atlas
FROM node:22-slim AS browser
WORKDIR /atlas
COPY package.json package-lock.json .npmrc ./
RUN mkdir -p app/static && npm ci --omit=dev --no-fund --no-audit && npm run static

FROM python:3.11-slim
WORKDIR /atlas
# Draws figures as SVG, PDF and PNG; without it the app has HTML and CSV.
RUN apt-get update && apt-get install -y --no-install-recommends chromium && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home atlas
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
COPY .streamlit .streamlit
COPY app app
COPY engine engine
COPY precompute precompute
COPY data/embedded data/embedded
COPY --from=browser /atlas/app/static/ app/static/
USER atlas
EXPOSE 8501
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/healthz')"]
CMD ["python", "-m", "streamlit", "run", "app/server.py", "--server.port", "8501", "--server.address", "0.0.0.0"]

# The app. The data folder is mounted at /data, with a store that was built there; live prediction needs the worker
# environments of that folder, and they must be built by this image, because an environment names its Python by path:
#   docker build -t defect-atlas .
#   docker run --rm -v ./atlas-data:/data defect-atlas python -m precompute envs chgnet
#   docker run --rm -v ./atlas-data:/data defect-atlas python -m precompute fetch --dataset open-defects
#   docker run --rm -v ./atlas-data:/data defect-atlas python -m precompute build
#   docker run -p 8501:8501 -v ./atlas-data:/data defect-atlas
# The folder must belong to user 1000 of the image, or give --user "$(id -u)".
FROM node:22-slim AS browser
WORKDIR /atlas
COPY package.json package-lock.json .npmrc ./
RUN mkdir -p app/static && npm ci --omit=dev --no-fund --no-audit && npm run static

FROM python:3.11-slim
WORKDIR /atlas
# Draws figures as SVG, PDF and PNG; without it the app has HTML and CSV.
RUN apt-get update && apt-get install -y --no-install-recommends chromium && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home atlas && install --directory --owner=atlas /data
COPY requirements.txt LICENSE ./
RUN pip install --no-cache-dir --requirement requirements.txt
COPY .streamlit .streamlit
COPY app app
COPY engine engine
COPY precompute precompute
COPY data/embedded data/embedded
COPY --from=browser /atlas/app/static/ app/static/
ENV DEFECT_ATLAS_DATA=/data DEFECT_ATLAS_LOGS=json HOME=/tmp
VOLUME /data
USER atlas
EXPOSE 8501
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/healthz')"]
CMD ["python", "-m", "streamlit", "run", "app/server.py", "--server.port", "8501", "--server.address", "0.0.0.0"]

# edgefill's server on any CPU; docs/serving.md says how it is run.
#
#   docker build --file docker/serve.Dockerfile --tag edgefill-serve .
ARG BASE=python:3.12-slim
FROM ${BASE}

RUN python3 -m venv /opt/edgefill
ENV ORT_DISABLE_TELEMETRY=1
ENV PATH=/opt/edgefill/bin:${PATH}

COPY pyproject.toml README.md LICENSE /tmp/edgefill/
COPY edgefill /tmp/edgefill/edgefill
COPY export /tmp/edgefill/export
COPY kernels /tmp/edgefill/kernels
RUN pip install --no-cache-dir "/tmp/edgefill[cpu,openvino,serve]" && rm -rf /tmp/edgefill

# Nobody's user: the server writes nothing. Models are mounted at /models.
USER 65534:65534
WORKDIR /models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# SIGTERM, which Docker sends, drains. EDGEFILL_TOKEN has to be given: the container is asked from outside.
ENTRYPOINT ["edgefill", "serve", "--host", "0.0.0.0"]
CMD ["--model", "photos"]

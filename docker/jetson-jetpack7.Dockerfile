# edgefill on a Jetson with JetPack 7.2 (CUDA 13.2, TensorRT 10.16, Python 3.12); docs/jetson.md names the base image.
#
#   docker build --build-arg BASE=… --file docker/jetson-jetpack7.Dockerfile --tag edgefill .
ARG BASE
FROM ${BASE}

# Before any apt-get: without the pin its newest TensorRT would come, which this JetPack does not support.
ARG TENSORRT=10.16.*
RUN printf 'Package: *nvinfer* *nvonnxparsers*\nPin: version %s\nPin-Priority: 1001\n' "${TENSORRT}" \
        > /etc/apt/preferences.d/tensorrt \
    && apt-get update \
    && apt-get install --yes --no-install-recommends build-essential python3-dev python3-venv \
    && (python3 -c "from importlib.util import find_spec; exit(not find_spec('tensorrt'))" \
        || apt-get install --yes --no-install-recommends python3-libnvinfer) \
    && rm -rf /var/lib/apt/lists/*

# The environment sees the TensorRT of the image, and pip brings no other.
RUN python3 -m venv --system-site-packages /opt/edgefill
ENV PATH=/opt/edgefill/bin:/usr/local/cuda/bin:${PATH}

# Built against the image's CUDA; the driver itself comes from the board when the container starts.
RUN pip install --no-cache-dir pycuda "cuda-bindings>=13"

COPY pyproject.toml README.md LICENSE /tmp/edgefill/
COPY edgefill /tmp/edgefill/edgefill
COPY export /tmp/edgefill/export
COPY kernels /tmp/edgefill/kernels
RUN pip install --no-cache-dir "/tmp/edgefill[cpu]" && rm -rf /tmp/edgefill

ENV EDGEFILL_CACHE_DIR=/cache ORT_DISABLE_TELEMETRY=1
VOLUME /cache
ENTRYPOINT ["edgefill"]
CMD ["doctor"]

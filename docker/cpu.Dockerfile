# edgefill on any processor, without a GPU; pictures are mounted, nothing leaves the container.
#
#   docker build --file docker/cpu.Dockerfile --tag edgefill .
#   docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD:/work" edgefill \
#       complete photo.jpg --mask mask.png --out filled/
ARG BASE=python:3.12-slim
FROM ${BASE}

COPY pyproject.toml README.md LICENSE constraints.txt /tmp/edgefill/
COPY edgefill /tmp/edgefill/edgefill
COPY export /tmp/edgefill/export
COPY kernels /tmp/edgefill/kernels
RUN pip install --no-cache-dir --constraint /tmp/edgefill/constraints.txt "/tmp/edgefill[cpu,openvino]" \
    && rm -rf /tmp/edgefill

ENV EDGEFILL_CACHE_DIR=/cache ORT_DISABLE_TELEMETRY=1
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["edgefill"]
CMD ["doctor"]

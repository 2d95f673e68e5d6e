# docker build -t gradsurgery .                       a CPU, or a GPU by the CUDA that torch brings: docker run --gpus all
# docker build -t gradsurgery --build-arg BASE=nvidia/cuda:12.6.3-runtime-ubuntu24.04 .
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential git make npm python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/gradsurgery
COPY . .
RUN make install
CMD ["make", "help"]

# dp2 in a container: `dp2` and its arguments, working in /data.
#
#   docker build -t dp2 .                                      for the processor
#   docker build -t dp2-cuda --build-arg DEVICE=cuda .         for NVIDIA GPUs (needs NVIDIA's container toolkit to run)
#
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" dp2 anonymize -i frames/ -o out/
#   docker run --rm --user "$(id -u):$(id -g)" --gpus all -e CUDA_VISIBLE_DEVICES=0 -v "$PWD:/data" dp2-cuda anonymize …
#
# By default pip takes PyTorch's usual wheels, which carry CUDA; PyTorch has an index of smaller ones for the processor:
#
#   docker build -t dp2 --build-arg TORCH_INDEX=URL .
FROM python:3.12-slim-bookworm

ARG DEVICE=cpu
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# What OpenCV's wheel links against.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

RUN case "$DEVICE" in cpu|cuda) ;; *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; esac
RUN if [ -n "$TORCH_INDEX" ]; then pip install "torch>=2.6" "torchvision>=0.21" --index-url "$TORCH_INDEX"; fi

COPY . /opt/dp2
# ONNX Runtime comes in two packages of the same modules; the one with CUDA takes the other's place.
RUN pip install /opt/dp2 \
    && if [ "$DEVICE" = cuda ]; then pip uninstall -y onnxruntime && pip install "onnxruntime-gpu>=1.18"; fi

# Any user may run it; weights and caches lie where a volume can be put.
ENV DP2_HOME=/cache/dp2 NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN mkdir -p /cache/dp2 /data && chmod 1777 /cache /cache/dp2
WORKDIR /data
USER 1000:1000
ENTRYPOINT ["dp2"]
CMD ["--help"]

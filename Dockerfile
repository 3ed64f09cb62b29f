# dp2 in a container: `dp2` and its arguments, working in /data.
#
#   docker build -t dp2 .                                      for the CPU, without PyTorch
#   docker build -t dp2-torch --build-arg EXTRAS=torch .       with DeepPrivacy2's generators and detectors
#   docker build -t dp2-cuda --build-arg EXTRAS=torch --build-arg DEVICE=cuda .
#                                                              for NVIDIA GPUs (needs NVIDIA's container toolkit to run)
#
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" dp2 anonymize -i frames/ -o out/
#   docker run --rm --user "$(id -u):$(id -g)" --gpus all -e CUDA_VISIBLE_DEVICES=0 -v "$PWD:/data" dp2-cuda anonymize …
#
# EXTRAS: torch, train, metrics, web, separated by commas. By default pip takes PyTorch's usual wheels, which carry CUDA;
# PyTorch has an index of smaller ones for the CPU:
#
#   docker build -t dp2-torch --build-arg EXTRAS=torch --build-arg TORCH_INDEX=URL .
FROM python:3.12-slim-bookworm

ARG DEVICE=cpu
ARG EXTRAS=
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

RUN case "$DEVICE" in cpu|cuda) ;; *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; esac
RUN if [ -n "$TORCH_INDEX" ]; then pip install "torch>=2.6" "torchvision>=0.21" --index-url "$TORCH_INDEX"; fi

COPY . /opt/dp2
# ONNX Runtime comes in two packages of the same modules; the one with CUDA takes the other's place.
RUN pip install "/opt/dp2${EXTRAS:+[$EXTRAS]}" \
    && if [ "$DEVICE" = cuda ]; then pip uninstall -y onnxruntime && pip install "onnxruntime-gpu>=1.18"; fi

# Any user may run it; weights and caches lie where a volume can be put.
ENV DP2_HOME=/cache/dp2 NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN mkdir -p /cache/dp2 /data && chmod 1777 /cache /cache/dp2
WORKDIR /data
USER 1000:1000
ENTRYPOINT ["dp2"]
CMD ["--help"]

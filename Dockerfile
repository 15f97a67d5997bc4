# The app in a container, from the repository's root; docs/deployment.md says how to run it.
#   docker build -t alignmamba .                           for CPUs
#   docker build -t alignmamba --build-arg DEVICE=cuda .   for NVIDIA GPUs, with CUDA's libraries

ARG BASE_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# Packages, model files and kernels are made here and copied from here; compiler and pip's caches stay behind.
FROM ${BASE_IMAGE} AS builder
ENV PATH=/opt/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ALIGNMAMBA_CACHE=/opt/alignmamba
# Debian's mirrors keep only the newest version of a package: a pin would break the build at the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# Packages and model files come before the code, so that a change of code builds in seconds. The package index has
# torch with CUDA for Linux; PyTorch's own index has the build for CPUs, a tenth of its size.
ARG DEVICE=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /build
COPY requirements.txt .
COPY extractors/assets/requirements.txt gpu.txt
RUN python -m venv /opt/venv \
    && grep '^torch==' requirements.txt > torch.txt \
    && case "$DEVICE" in \
        cpu) pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt ;; \
        cuda) pip install -r gpu.txt ;; \
        *) echo "DEVICE: '$DEVICE', expected cpu or cuda" >&2; exit 1 ;; \
    esac \
    && pip install -r requirements.txt
COPY extractors extractors
RUN python -m extractors.assets
COPY alignmamba alignmamba
RUN python -m alignmamba.ops.build

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="AlignMamba" \
    org.opencontainers.image.description="Sentiment from audio, video and text" \
    org.opencontainers.image.licenses="MIT; weights, openSMILE: research use only (docs/licences.md)"
# What MediaPipe and OpenCV load at import, and the runtime of the kernels' threads.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgles2 libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin app

# All that the app writes lies in /tmp: the rest of the file system can be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ALIGNMAMBA_CACHE=/opt/alignmamba \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/alignmamba /opt/alignmamba
WORKDIR /srv/alignmamba
COPY . .
USER 1000:1000
# No image without the kernel: there is no compiler here that could build it at first use.
RUN ALIGNMAMBA_SCAN=cpp python -c "from alignmamba.ops.selective_scan import backend_name; print(backend_name('cpu'))"

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["python", "-m", "streamlit", "run", "app/main.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]

"""What this host has: GPUs (through NVML), CPU, memory, disk, and what each GPU generation can do."""

"""Memory of a real GPU, taken through the driver's own library: `cuda.py MIB [SECONDS]` holds so much and prints `held`, or `out of memory` with status 3.

The libraries that come with every driver, through ctypes: nothing has to be installed.
"""

import ctypes
import os
import sys
import time

OUT_OF_MEMORY = 2
MIB = 1 << 20


class OutOfMemory(Exception):
    pass


class Cuda:
    """One context on the first GPU that `CUDA_VISIBLE_DEVICES` leaves."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.check("cuInit", 0)
        device = ctypes.c_int()
        self.check("cuDeviceGet", ctypes.byref(device), 0)
        self.context = ctypes.c_void_p()
        self.check("cuCtxCreate_v2", ctypes.byref(self.context), 0, device)

    def check(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status == OUT_OF_MEMORY:
            raise OutOfMemory(name)
        if status != 0:
            raise RuntimeError(f"{name} answered {status}")

    def take(self, mib):
        """Allocates; what is returned gives it back."""
        place = ctypes.c_uint64()
        self.check("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(mib * MIB))
        return lambda: self.check("cuMemFree_v2", place)


class _Memory(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint), ("total", ctypes.c_ulonglong), ("reserved", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("instance", ctypes.c_uint), ("compute", ctypes.c_uint)]


class Nvml:
    """The first GPU, as NVIDIA's management library tells it."""

    def __init__(self):
        self.library = ctypes.CDLL("libnvidia-ml.so.1")
        self.check("nvmlInit_v2")
        self.device = ctypes.c_void_p()
        self.check("nvmlDeviceGetHandleByIndex_v2", 0, ctypes.byref(self.device))

    def check(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} answered {status}")

    def memory(self):
        """Bytes: total, reserved, free, used."""
        memory = _Memory(version=ctypes.sizeof(_Memory) | 2 << 24)
        self.check("nvmlDeviceGetMemoryInfo_v2", self.device, ctypes.byref(memory))
        return {name: getattr(memory, name) for name in ["total", "reserved", "free", "used"]}

    def processes(self):
        """Bytes by process, `None` where the driver does not tell."""
        count, list_ = ctypes.c_uint(64), (_Process * 64)()
        self.check("nvmlDeviceGetComputeRunningProcesses_v3", self.device, ctypes.byref(count), list_)
        return {one.pid: None if one.used == 2**64 - 1 else one.used for one in list_[: count.value]}


if __name__ == "__main__":
    try:
        free = Cuda().take(int(sys.argv[1]))
    except OutOfMemory:
        print("out of memory", flush=True)
        sys.exit(3)
    print("held", os.getpid(), flush=True)
    time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 3600)
    free()

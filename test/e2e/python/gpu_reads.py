"""What NVIDIA's own Python bindings read, as lines of JSON: once, and once more for each line on standard input."""

import json
import sys

import pynvml


def reading():
    devices = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:
            devices.append({"error": str(error)})
            continue
        first = pynvml.nvmlDeviceGetMemoryInfo(handle)
        second = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
        devices.append({
            "name": pynvml.nvmlDeviceGetName(handle),
            "uuid": pynvml.nvmlDeviceGetUUID(handle),
            "bus": pynvml.nvmlDeviceGetPciInfo(handle).busId,
            "first": [first.total, first.used, first.free],
            "second": [second.total, second.used, second.free, second.reserved],
            "processes": [[p.pid, p.usedGpuMemory] for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)],
            "busy": pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "warm": pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU),
        })
    return devices


pynvml.nvmlInit()
print(json.dumps(reading()), flush=True)
for _ in sys.stdin:
    print(json.dumps(reading()), flush=True)
pynvml.nvmlShutdown()

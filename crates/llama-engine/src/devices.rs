//! Where ggml can compute: the processor, and what plug-ins beside the engine make of GPUs.

use serde::Serialize;

/// The files that make ggml compute on a GPU, with the backend that each brings; `npm run build:engine` builds them.
const GPU_PLUGINS: [(&str, &str); 2] = [("libggml-vulkan.so", "Vulkan"), ("libggml-cuda.so", "CUDA")];

/// One place where ggml can compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// ggml's name, like `CPU` or `Vulkan0`.
    pub name: String,
    /// What it is, like `NVIDIA GeForce RTX 3080`.
    pub description: String,
    /// The part of ggml that computes there, like `CPU` or `Vulkan`.
    pub backend: String,
    /// Whether it is a GPU, of its own or inside the processor.
    pub gpu: bool,
    /// All of its memory, in bytes.
    pub memory_bytes: u64,
    /// What is free of it now, in bytes; ggml knows that of GPUs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free_bytes: Option<u64>,
}

/// The backend that computes models: that of the first GPU, unless there is none or no layer goes there.
pub fn backend(devices: &[Device], gpu_layers: Option<u32>) -> &str {
    let gpu = devices.iter().find(|device| device.gpu && gpu_layers != Some(0));
    gpu.map_or("CPU", |device| &device.backend)
}

/// The GPU plug-ins that are there and brought no device: the driver is missing, or there is no GPU.
pub fn idle_plugins(is_there: impl Fn(&str) -> bool, devices: &[Device]) -> Vec<&'static str> {
    let idle = |&(file, backend): &(&str, &str)| {
        is_there(file) && devices.iter().all(|device| device.backend != backend)
    };
    GPU_PLUGINS.into_iter().filter(idle).map(|(file, _)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(backend: &str, gpu: bool) -> Device {
        Device {
            name: format!("{backend}0"),
            description: String::new(),
            backend: backend.to_owned(),
            gpu,
            memory_bytes: 0,
            memory_free_bytes: None,
        }
    }

    #[test]
    fn a_gpu_computes_where_there_is_one_and_a_layer_for_it() {
        let alone = [device("CPU", false)];
        let both = [device("Vulkan", true), device("CPU", false)];
        assert_eq!(backend(&alone, None), "CPU");
        assert_eq!(backend(&alone, Some(99)), "CPU");
        assert_eq!(backend(&both, None), "Vulkan");
        assert_eq!(backend(&both, Some(1)), "Vulkan");
        assert_eq!(backend(&both, Some(0)), "CPU");
    }

    #[test]
    fn a_gpu_plug_in_without_a_device_is_named() {
        let is_there = |file: &str| file == "libggml-vulkan.so";
        assert_eq!(idle_plugins(is_there, &[device("CPU", false)]), ["libggml-vulkan.so"]);
        assert!(idle_plugins(is_there, &[device("Vulkan", true)]).is_empty());
    }
}

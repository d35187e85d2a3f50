// llama.cpp tells what a context takes through a C++ map only. Handed on as plain calls.

#include <cstddef>
#include <map>

#include "ggml-backend.h"
#include "llama.h"

// From llama.cpp's src/llama-ext.h, which is not installed; the version is pinned exactly in the workspace's Cargo.toml.
struct llama_memory_breakdown_data {
    size_t model;
    size_t context;
    size_t compute;
};
using llama_memory_breakdown = std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>;
LLAMA_API llama_memory_breakdown llama_get_memory_breakdown(const struct llama_context * ctx);

extern "C" void uat_memory_breakdown(
        const struct llama_context * ctx,
        void (*add)(void *, const char *, bool, size_t, size_t, size_t),
        void * data) {
    for (const auto & [type, size] : llama_get_memory_breakdown(ctx)) {
        const bool is_host = ggml_backend_buft_is_host(type);
        const ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
        const char * name = is_host || device == nullptr ? "CPU" : ggml_backend_dev_name(device);
        add(data, name, is_host, size.model, size.context, size.compute);
    }
}

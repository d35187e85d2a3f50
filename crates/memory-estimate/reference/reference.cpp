// What llama.cpp itself reckons for a model file without allocating: one line of JSON per question.
//
//     reference FILE 'context=8192 batch=512 rows=1 unified=1 flash=1 k=f16 v=f16 gpus=0 layers=-1 full=0' ...
//
// The GPUs are made up here: devices that claim to compute everything and hold nothing, so that a machine without any can
// show how llama.cpp shares a model out. See README.md for how it is built.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <sstream>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

// From llama.cpp's src/llama-ext.h, which is not installed.
struct llama_memory_breakdown_data { size_t model; size_t context; size_t compute; };
using llama_memory_breakdown = std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>;
LLAMA_API llama_memory_breakdown llama_get_memory_breakdown(const struct llama_context * ctx);

// ---- a GPU that does not exist ------------------------------------------------------------------------------------

struct Gpu { std::string name; size_t memory; ggml_backend_device device; ggml_backend_buffer_type type; };

static ggml_backend_buffer_t gpu_alloc(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_i iface = {};
    iface.get_base = [](ggml_backend_buffer_t) { return (void *) 0x1000; };
    iface.clear = [](ggml_backend_buffer_t, uint8_t) {};
    iface.memset_tensor = [](ggml_backend_buffer_t, ggml_tensor *, uint8_t, size_t, size_t) {};
    iface.set_tensor = [](ggml_backend_buffer_t, ggml_tensor *, const void *, size_t, size_t) {};
    iface.get_tensor = [](ggml_backend_buffer_t, const ggml_tensor *, void *, size_t, size_t) {};
    return ggml_backend_buffer_init(type, iface, nullptr, size);
}

static ggml_backend_t gpu_init(ggml_backend_dev_t device, const char *) {
    static ggml_guid guid = { 1, 2, 3, 4 };
    ggml_backend_i iface = {};
    iface.get_name = [](ggml_backend_t backend) { return ((Gpu *) backend->device->context)->name.c_str(); };
    iface.free = [](ggml_backend_t backend) { delete backend; };
    iface.synchronize = [](ggml_backend_t) {};
    iface.graph_compute = [](ggml_backend_t, ggml_cgraph *) { return GGML_STATUS_SUCCESS; };
    return new ggml_backend{ &guid, iface, device, nullptr };
}

static bool with_events = false;

static Gpu * make_gpu(int index, size_t memory) {
    Gpu * gpu = new Gpu{ "GPU" + std::to_string(index), memory, {}, {} };
    gpu->type.iface.get_name = [](ggml_backend_buffer_type_t type) { return ((Gpu *) type->context)->name.c_str(); };
    gpu->type.iface.alloc_buffer = gpu_alloc;
    gpu->type.iface.get_alignment = [](ggml_backend_buffer_type_t) { return (size_t) 128; };
    gpu->type.device = &gpu->device;
    gpu->type.context = gpu;
    ggml_backend_device_i & iface = gpu->device.iface;
    iface.get_name = [](ggml_backend_dev_t device) { return ((Gpu *) device->context)->name.c_str(); };
    iface.get_description = iface.get_name;
    iface.get_memory = [](ggml_backend_dev_t device, size_t * free, size_t * total) {
        *free = *total = ((Gpu *) device->context)->memory;
    };
    iface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    iface.get_props = [](ggml_backend_dev_t device, ggml_backend_dev_props * props) {
        *props = {};
        Gpu * self = (Gpu *) device->context;
        props->name = props->description = self->name.c_str();
        props->memory_free = props->memory_total = self->memory;
        props->type = GGML_BACKEND_DEVICE_TYPE_GPU;
        props->caps.async = props->caps.events = with_events;
    };
    iface.init_backend = gpu_init;
    iface.get_buffer_type = [](ggml_backend_dev_t device) { return &((Gpu *) device->context)->type; };
    iface.supports_op = [](ggml_backend_dev_t, const ggml_tensor *) { return true; };
    iface.supports_buft = [](ggml_backend_dev_t device, ggml_backend_buffer_type_t type) {
        return type == &((Gpu *) device->context)->type;
    };
    // As CUDA does: large products come here though their weights lie in the machine's memory.
    iface.offload_op = [](ggml_backend_dev_t, const ggml_tensor * op) {
        const int64_t rows = op->op == GGML_OP_GET_ROWS ? 0 : op->op == GGML_OP_MUL_MAT_ID ? op->ne[2] : op->ne[1];
        return rows >= 32;
    };
    iface.event_new = [](ggml_backend_dev_t device) { return new ggml_backend_event{ device, nullptr }; };
    iface.event_free = [](ggml_backend_dev_t, ggml_backend_event_t event) { delete event; };
    iface.event_synchronize = [](ggml_backend_dev_t, ggml_backend_event_t) {};
    static ggml_backend_reg reg = {};
    reg.iface.get_name = [](ggml_backend_reg_t) { return "Made up"; };
    reg.iface.get_device_count = [](ggml_backend_reg_t) { return (size_t) 0; };
    reg.iface.get_device = [](ggml_backend_reg_t, size_t) { return (ggml_backend_dev_t) nullptr; };
    reg.iface.get_proc_address = [](ggml_backend_reg_t, const char *) { return (void *) nullptr; };
    gpu->device.reg = &reg;
    gpu->device.context = gpu;
    return gpu;
}

// ---- a question -----------------------------------------------------------------------------------------------------

struct Part { size_t weights = 0, cache = 0, compute = 0; };

static ggml_type type_of(const std::string & name) {
    for (int type = 0; type < GGML_TYPE_COUNT; type++) {
        if (name == ggml_type_name((ggml_type) type)) { return (ggml_type) type; }
    }
    fprintf(stderr, "the type %s is not known\n", name.c_str());
    exit(2);
}

static bool answer(const char * file, const std::string & question) {
    std::map<std::string, std::string> asked = {
        { "context", "4096" }, { "batch", "512" }, { "rows", "1" }, { "unified", "1" }, { "flash", "1" },
        { "k", "f16" }, { "v", "f16" }, { "gpus", "0" }, { "layers", "-1" }, { "events", "0" }, { "full", "0" },
    };
    std::istringstream words(question);
    for (std::string word; words >> word;) {
        const size_t at = word.find('=');
        asked[word.substr(0, at)] = word.substr(at + 1);
    }
    const auto number = [&](const char * key) { return atoi(asked[key].c_str()); };
    with_events = number("events") != 0;

    static std::vector<Gpu *> gpus;
    std::vector<ggml_backend_dev_t> devices;
    for (int i = 0; i < number("gpus"); i++) {
        if ((int) gpus.size() <= i) { gpus.push_back(make_gpu(i, (size_t) 80 << 30)); }
        devices.push_back(&gpus[i]->device);
    }
    devices.push_back(nullptr);
    std::vector<float> split(llama_max_devices(), 0.0f);
    for (int i = 0; i < number("gpus"); i++) { split[i] = 1.0f; }

    // Reading a vocabulary takes longest: a model is kept for the next question.
    static llama_model * model = nullptr;
    static std::string model_of;
    const std::string wanted = asked["gpus"] + " " + asked["layers"];
    if (model != nullptr && model_of != wanted) { llama_model_free(model); model = nullptr; }
    model_of = wanted;
    llama_model_params model_params = llama_model_default_params();
    model_params.no_alloc = true;
    model_params.load_mode = LLAMA_LOAD_MODE_NONE;
    model_params.devices = devices.data();
    model_params.n_gpu_layers = number("layers");
    if (number("gpus") > 1) { model_params.tensor_split = split.data(); }
    if (model == nullptr) { model = llama_model_load_from_file(file, model_params); }
    if (model == nullptr) { return false; }

    llama_context_params params = llama_context_default_params();
    params.n_ctx = number("context");
    params.n_batch = params.n_ubatch = number("batch");
    params.n_seq_max = number("rows");
    params.kv_unified = number("unified") != 0;
    params.flash_attn_type = number("flash") ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.type_k = type_of(asked["k"]);
    params.type_v = type_of(asked["v"]);
    params.swa_full = number("full") != 0;
    llama_context * context = llama_init_from_model(model, params);
    if (context == nullptr) { return false; }

    Part host;
    std::map<std::string, Part> on;
    for (const auto & [type, size] : llama_get_memory_breakdown(context)) {
        ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
        const bool is_gpu = device != nullptr && ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU;
        Part & part = is_gpu ? on[ggml_backend_dev_name(device)] : host;
        part.weights += size.model; part.cache += size.context; part.compute += size.compute;
    }
    printf("{\"question\": \"%s\", \"host\": [%zu, %zu, %zu], \"devices\": [", question.c_str(), host.weights, host.cache, host.compute);
    const char * comma = "";
    for (const auto & [name, part] : on) {
        printf("%s[%zu, %zu, %zu]", comma, part.weights, part.cache, part.compute);
        comma = ", ";
    }
    printf("]}\n");
    fflush(stdout);
    llama_free(context);
    return true;
}

int main(int count, char ** arguments) {
    if (count < 3) { fprintf(stderr, "usage: reference FILE QUESTION...\n"); return 2; }
    if (getenv("REFERENCE_VERBOSE") == nullptr) {
        llama_log_set([](ggml_log_level level, const char * text, void *) {
            if (level == GGML_LOG_LEVEL_ERROR) { fputs(text, stderr); }
        }, nullptr);
    }
    const char * plugins = getenv("REFERENCE_PLUGINS");
    if (plugins != nullptr) { ggml_backend_load_all_from_path(plugins); } else { ggml_backend_load_all(); }
    llama_backend_init();
    bool all = true;
    for (int i = 2; i < count; i++) {
        if (!answer(arguments[1], arguments[i])) { all = false; fprintf(stderr, "no answer to: %s\n", arguments[i]); }
    }
    return all ? 0 : 1;
}

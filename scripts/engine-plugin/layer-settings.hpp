// VK_EXT_layer_settings, which ggml names and Vulkan headers before 1.3.272 lack (Debian 12 has 1.3.239). It is used only
// with a validation layer that offers it. The shapes are those of the Vulkan specification.

#pragma once

#include <vulkan/vulkan_core.h>

#ifndef VK_EXT_layer_settings
#include <cstdint>
#include <vector>

namespace vk {

enum class LayerSettingTypeEXT : std::int32_t { eBool32 = 0 };

struct LayerSettingEXT {
    const char * layer_name;
    const char * setting_name;
    LayerSettingTypeEXT type;
    std::uint32_t value_count;
    const void * values;
};

struct LayerSettingsCreateInfoEXT {
    VkStructureType type = static_cast<VkStructureType>(1000496000);
    const void * next = nullptr;
    std::uint32_t setting_count;
    const LayerSettingEXT * settings;

    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & all) :
        setting_count(static_cast<std::uint32_t>(all.size())), settings(all.data()) {}
};

}
#endif

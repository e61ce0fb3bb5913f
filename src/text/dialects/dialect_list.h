// All tool-call dialects. A new one is a file of its own, or stands beside its kin, and a line here.
#pragma once

#include <array>

#include "text/dialects/tool_dialect.h"

namespace mlxd::dialects {

extern const ToolDialect gpt_oss, cohere, deepseek_v3, deepseek_v32, function_gemma, gemma4, glm4, glm4_5,
    granite3, hermes, hunyuan, kimi_k2, lfm2, llama3_json, llama4_pythonic, longcat, minimax_m2, mistral,
    mistral_v11, nemotron, olmo3, phi4, qwen3_coder, seed_oss;

inline constexpr std::array kToolDialects{
    &gpt_oss,     &cohere,      &deepseek_v3,     &deepseek_v32, &function_gemma, &gemma4,
    &glm4,        &glm4_5,      &granite3,        &hermes,       &hunyuan,        &kimi_k2,
    &lfm2,        &llama3_json, &llama4_pythonic, &longcat,      &minimax_m2,     &mistral,
    &mistral_v11, &nemotron,    &olmo3,           &phi4,         &qwen3_coder,    &seed_oss};

}  // namespace mlxd::dialects

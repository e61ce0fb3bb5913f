// All families, the more particular ones first. A new one is a file of its own, or stands beside its kin, and
// a line here.
#pragma once

#include <array>

#include "text/families/family.h"

namespace mlxd::families {

extern const Family gpt_oss, gemma4, function_gemma, gemma, minimax_m2, minimax_m1, seed_oss, longcat, glm4_5,
    glm4, kimi_k2, deepseek_v32, deepseek, qwen3_coder, nemotron_nano, lfm2, command_a, command_r, granite4,
    granite3, llama4, llama3, mistral_v11, mistral, llama2, phi4_mini, phi4, phi3, olmo3, olmo2, hunyuan,
    exaone4, ernie4_5, smollm3, qwen3, qwen2, chatml, plain;

inline constexpr std::array kFamilies{
    &gpt_oss,       &gemma4,      &function_gemma, &gemma,     &minimax_m2,   &minimax_m1, &seed_oss,
    &longcat,       &glm4_5,      &glm4,           &kimi_k2,   &deepseek_v32, &deepseek,   &qwen3_coder,
    &nemotron_nano, &lfm2,        &command_a,      &command_r, &granite4,     &granite3,   &llama4,
    &llama3,        &mistral_v11, &mistral,        &llama2,    &phi4_mini,    &phi4,       &phi3,
    &olmo3,         &olmo2,       &hunyuan,        &exaone4,   &ernie4_5,     &smollm3,    &qwen3,
    &qwen2,         &chatml,      &plain};

}  // namespace mlxd::families

// Ling and Ring (Bailing): queries, keys and values are one tensor; after some dense layers experts, chosen
// within groups, and shared ones.
#include <array>
#include <string>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kBailingMoeModelTypes = {"bailing_moe"};

Result<ModelSpec> build_bailing_moe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.head_dim = ""}));
  if (TRY(config.boolean_or("norm_head", false)))
    return config.refuse_unsupported("norm_head", "models without it are");
  const bool bias = TRY(config.boolean_or("use_bias", false));
  plan.set_qkv_bias(TRY(config.boolean_or("use_qkv_bias", false)));
  plan.o_bias = bias;
  plan.mlp_bias = bias;
  plan.names.embedding = "model.word_embeddings";
  plan.names.qkv_proj = "attention.query_key_value";
  plan.names.o_proj = "attention.dense";
  plan.names.q_norm = "attention.query_layernorm";
  plan.names.k_norm = "attention.key_layernorm";
  if (TRY(config.boolean_or("use_qk_norm", false))) plan.head_norms = HeadNorms::kEachHead;
  const std::int64_t head_dim = plan.layers.front().head_dim;
  std::int32_t rotary_dim = TRY(read_rotary_dim(config, head_dim, 1.0));
  if (config.has("rotary_dim"))
    rotary_dim = static_cast<std::int32_t>(TRY(config.integer("rotary_dim", 2, head_dim)));
  if (rotary_dim % 2 != 0) return config.refuse("rotary_dim", "an even number");
  TRY(plan.add_rope(config, {.rotary_dim = rotary_dim}));

  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_groups(config));
  const std::string scoring = TRY(config.string_or("score_function", "softmax"));
  moe.router.scoring = scoring == "sigmoid" ? RouterScoring::kSigmoid : RouterScoring::kSoftmax;
  moe.router.normalize = moe.router.experts_per_token > 1 && TRY(config.boolean_or("norm_topk_prob", true));
  moe.router.normalize_eps = 1e-20F;
  moe.router.scale = static_cast<float>(TRY(config.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6)));
  moe.router_name = input.weights.find("model.layers." + std::to_string(plan.layers.size() - 1) +
                                       ".mlp.gate.weight") != nullptr
                        ? "mlp.gate"
                        : "mlp.gate.gate_proj";
  if (TRY(config.boolean_or("moe_router_enable_expert_bias", false)))
    moe.correction_bias = "mlp.gate.expert_bias";
  moe.expert_bias = bias;
  moe.shared_expert = "mlp.shared_experts";
  if (bias) return config.refuse_unsupported("use_bias", "models without it are");
  if (TRY(config.boolean_or("moe_router_enable_shared_expert", true))) {
    const std::int64_t width =
        TRY(config.integer_or("moe_shared_expert_intermediate_size", moe.intermediate, 1, kMaxWidth));
    moe.shared_intermediate = width * TRY(config.integer_or("num_shared_experts", 0, 0, kMaxExperts));
  }
  TRY(plan.use_experts(config, std::move(moe), "first_k_dense_replace"));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture bailing_moe_architecture;
const Architecture bailing_moe_architecture{kBailingMoeModelTypes, build_bailing_moe, is_unused_in_decoder};

}  // namespace mlxd

#include "model/recurrent_plan.h"

#include <limits>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::int64_t kMaxKernel = 64;

class Builder {
 public:
  Builder(const ArchitectureInput& input, const RecurrentPlan& plan, const std::string& layer,
          std::int64_t hidden)
      : input_(input), plan_(plan), prefix_(layer + plan.prefix), hidden_(hidden) {}

  Result<RecurrentSpec> make() {
    spec_.kind = plan_.kind;
    switch (plan_.kind) {
      case RecurrentKind::kShortConv:
        TRY(make_short_conv());
        break;
      case RecurrentKind::kGatedDelta:
        TRY(make_gated_delta());
        break;
      case RecurrentKind::kMamba2:
        TRY(make_mamba2());
        break;
    }
    return std::move(spec_);
  }

 private:
  Result<LinearSpec> linear(const char* name, std::int64_t in, std::int64_t out, bool bias) {
    return make_linear(input_, prefix_ + name, in, out, bias);
  }

  Result<void> make_conv(const char* name, std::int64_t channels, bool activated) {
    spec_.conv.name = prefix_ + name;
    spec_.conv.channels = static_cast<std::int32_t>(channels);
    spec_.conv.kernel = static_cast<std::int32_t>(plan_.kernel);
    spec_.conv.has_bias = plan_.conv_bias;
    spec_.conv.activated = activated;
    const std::string weight = spec_.conv.name + ".weight";
    const TensorView* tensor = TRY(input_.weights.get(weight));
    if (!is_float(tensor->dtype) || tensor->num_elements() != channels * plan_.kernel) {
      return corrupt_data(input_.weights.folder().string() + ": tensor " + weight +
                          ": must be F16, BF16 or F32 [" + std::to_string(channels) + ", " +
                          std::to_string(plan_.kernel) + ", 1], is " + std::string(to_string(tensor->dtype)) +
                          " with " + std::to_string(tensor->num_elements()) + " elements");
    }
    if (plan_.conv_bias) TRY(check_vector(input_, spec_.conv.name + ".bias", channels));
    return {};
  }

  Result<void> make_short_conv() {
    const LinearSpec whole = TRY(linear("in_proj", hidden_, 3 * hidden_, plan_.projection_bias));
    spec_.input_gate_proj = take_rows(whole, 0, hidden_, hidden_, hidden_);
    spec_.gate_proj = take_rows(whole, hidden_, hidden_, hidden_, hidden_);
    spec_.inputs = {take_rows(whole, 2 * hidden_, hidden_, hidden_, hidden_)};
    spec_.out_proj = TRY(linear("out_proj", hidden_, hidden_, plan_.projection_bias));
    return make_conv("conv", hidden_, false);
  }

  Result<void> make_heads() {
    spec_.num_heads = static_cast<std::int32_t>(plan_.heads);
    spec_.num_key_heads = static_cast<std::int32_t>(plan_.key_heads);
    spec_.key_dim = static_cast<std::int32_t>(plan_.key_dim);
    spec_.value_dim = static_cast<std::int32_t>(plan_.value_dim);
    spec_.a_log = prefix_ + "A_log";
    spec_.dt_bias = prefix_ + "dt_bias";
    TRY(check_vector(input_, spec_.a_log, plan_.heads));
    TRY(check_vector(input_, spec_.dt_bias, plan_.heads));
    spec_.out_proj = TRY(linear("out_proj", plan_.heads * plan_.value_dim, hidden_, plan_.projection_bias));
    return {};
  }

  Result<void> make_head_norm(std::int64_t size, std::int64_t weights) {
    spec_.norm_size = static_cast<std::int32_t>(size);
    if (!plan_.norm) return {};
    NormSpec norm;
    norm.eps = static_cast<float>(plan_.eps);
    spec_.norm = TRY(make_norm(input_, norm, prefix_ + "norm", weights));
    return {};
  }

  Result<void> make_gated_delta() {
    TRY(make_heads());
    TRY(make_head_norm(plan_.value_dim, plan_.value_dim));
    const std::int64_t keys = plan_.key_heads * plan_.key_dim;
    const std::int64_t values = plan_.heads * plan_.value_dim;
    if (plan_.grouped_projections) {
      const std::int64_t shared = plan_.heads / plan_.key_heads;
      const std::int64_t run = shared * plan_.value_dim;
      const std::int64_t period = 2 * plan_.key_dim + 2 * run;
      const LinearSpec whole = TRY(linear("in_proj_qkvz", hidden_, 2 * keys + 2 * values, false));
      spec_.inputs = {take_rows(whole, 0, keys, plan_.key_dim, period),
                      take_rows(whole, plan_.key_dim, keys, plan_.key_dim, period),
                      take_rows(whole, 2 * plan_.key_dim, values, run, period)};
      spec_.gate_proj = take_rows(whole, 2 * plan_.key_dim + run, values, run, period);
      const LinearSpec rates = TRY(linear("in_proj_ba", hidden_, 2 * plan_.heads, false));
      spec_.beta_proj = take_rows(rates, 0, plan_.heads, shared, 2 * shared);
      spec_.decay_proj = take_rows(rates, shared, plan_.heads, shared, 2 * shared);
    } else {
      spec_.inputs = {TRY(linear("in_proj_qkv", hidden_, 2 * keys + values, false))};
      spec_.gate_proj = TRY(linear("in_proj_z", hidden_, values, false));
      spec_.beta_proj = TRY(linear("in_proj_b", hidden_, plan_.heads, false));
      spec_.decay_proj = TRY(linear("in_proj_a", hidden_, plan_.heads, false));
    }
    return make_conv("conv1d", 2 * keys + values, true);
  }

  Result<void> make_mamba2() {
    TRY(make_heads());
    const std::int64_t inner = plan_.heads * plan_.value_dim;
    const std::int64_t channels = inner + 2 * plan_.key_heads * plan_.key_dim;
    TRY(make_head_norm(inner / plan_.norm_groups, inner));
    spec_.norm_after_gate = true;
    spec_.min_time_step = static_cast<float>(plan_.min_time_step);
    spec_.max_time_step = static_cast<float>(plan_.max_time_step);
    spec_.skip = prefix_ + "D";
    TRY(check_vector(input_, spec_.skip, plan_.heads));
    const LinearSpec whole =
        TRY(linear("in_proj", hidden_, inner + channels + plan_.heads, plan_.projection_bias));
    spec_.gate_proj = take_rows(whole, 0, inner, inner, inner);
    spec_.inputs = {take_rows(whole, inner, channels, channels, channels)};
    spec_.decay_proj = take_rows(whole, inner + channels, plan_.heads, plan_.heads, plan_.heads);
    return make_conv("conv1d", channels, true);
  }

  const ArchitectureInput& input_;
  const RecurrentPlan& plan_;
  const std::string prefix_;
  const std::int64_t hidden_;
  RecurrentSpec spec_;
};

}  // namespace

Result<RecurrentPlan> RecurrentPlan::read_gated_delta(const ConfigReader& config, double eps) {
  RecurrentPlan plan;
  plan.kind = RecurrentKind::kGatedDelta;
  plan.prefix = "linear_attn.";
  plan.heads = TRY(config.integer("linear_num_value_heads", 1, kMaxHeads));
  plan.key_heads = TRY(config.integer("linear_num_key_heads", 1, kMaxHeads));
  plan.key_dim = TRY(config.integer("linear_key_head_dim", 1, kMaxHeadDim));
  plan.value_dim = TRY(config.integer("linear_value_head_dim", 1, kMaxHeadDim));
  plan.kernel = TRY(config.integer("linear_conv_kernel_dim", 1, kMaxKernel));
  plan.eps = eps;
  TRY(plan.check(config));
  return plan;
}

Result<void> RecurrentPlan::read_time_steps(const ConfigReader& config, double min, double max) {
  min_time_step = min;
  max_time_step = max;
  const auto* limits = config.find("time_step_limit");
  if (limits == nullptr) return {};
  if (!limits->is_array() || limits->get_array().size() != 2)
    return config.refuse("time_step_limit", "a list of two numbers");
  double values[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    const boost::json::value& value = limits->get_array()[i];
    // JSON has no infinity; some write it as a word.
    if (value.is_string()) {
      values[i] = std::numeric_limits<double>::infinity();
    } else if (value.is_number()) {
      values[i] = value.to_number<double>();
    }
    if (!(value.is_string() || value.is_number()) || !(values[i] >= 0.0))
      return config.refuse("time_step_limit", "a list of two numbers from 0 on");
  }
  if (values[0] > values[1]) return config.refuse("time_step_limit", "[least, most]");
  min_time_step = values[0];
  max_time_step = values[1];
  return {};
}

Result<void> RecurrentPlan::check(const ConfigReader& config) const {
  const std::string subject = config.file() + ": recurrent layers of ";
  if (heads % key_heads != 0) {
    return corrupt_data(subject + std::to_string(heads) + " heads cannot share the keys of " +
                        std::to_string(key_heads));
  }
  if (heads * value_dim > kMaxWidth || key_heads * key_dim > kMaxWidth) {
    return corrupt_data(subject + std::to_string(heads) + " heads of " + std::to_string(value_dim) +
                        " and keys of " + std::to_string(key_heads) + " heads of " + std::to_string(key_dim) +
                        " are too wide; at most " + std::to_string(kMaxWidth) + " in all are supported");
  }
  return {};
}

Result<RecurrentSpec> make_recurrent(const ArchitectureInput& input, const RecurrentPlan& plan,
                                     const std::string& layer, std::int64_t hidden) {
  return Builder(input, plan, layer, hidden).make();
}

}  // namespace mlxd

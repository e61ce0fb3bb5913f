#include "workbench/import_gguf.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "model/gguf.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "workbench/gguf_config.h"
#include "workbench/gguf_llama.h"
#include "workbench/gguf_tokenizer.h"
#include "workbench/gguf_weights.h"
#include "workbench/staging_folder.h"
#include "workbench/weight_files_writer.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxNameBytes = 128;

Result<std::string> choose_name(const fs::path& file, const ImportOptions& options) {
  const std::string name = options.name.empty() ? file.stem().string() : options.name;
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '/' && c != '\\' && c != ':';
  });
  if (name.empty() || name.size() > kMaxNameBytes || name.front() == '.' || name.front() == '-' ||
      !printable) {
    return invalid_argument("\"" + name +
                                "\" cannot be a model's name; give another with --name, of up to 128 "
                                "letters, digits, '-', '_' and '.'",
                            "name");
  }
  return name;
}

Result<std::vector<StoragePlan>> plan_tensors(const GgufFile& file, const GgufModel& model) {
  std::vector<StoragePlan> plans;
  for (LlamaTensor& tensor : TRY(llama_tensors(file, model))) {
    const std::int64_t rotary_head_dim = tensor.is_rotary ? model.head_dim : 0;
    plans.push_back(TRY(plan_storage(*tensor.source, std::move(tensor.name), rotary_head_dim)));
  }
  return plans;
}

// config.json's `quantization`: the commonest width, and an entry for each module that differs.
json::object make_quantization(const std::vector<StoragePlan>& plans) {
  std::map<std::int32_t, int> uses;
  for (const StoragePlan& plan : plans) {
    if (plan.bits > 0) ++uses[plan.bits];
  }
  json::object section;
  if (uses.empty()) return section;
  const auto commonest = std::max_element(uses.begin(), uses.end(),
                                          [](const auto& a, const auto& b) { return a.second < b.second; });
  section["group_size"] = kImportGroupSize;
  section["bits"] = commonest->first;
  section["mode"] = "affine";
  for (const StoragePlan& plan : plans) {
    if (plan.bits > 0 && plan.bits != commonest->first) {
      section[plan.name] = json::object{{"group_size", kImportGroupSize}, {"bits", plan.bits}};
    }
  }
  return section;
}

// All but the index, which counts parameters.
Result<WeightFilesWriter> write_weights(const GgufFile& file, const std::vector<StoragePlan>& plans,
                                        const StagingFolder& staging,
                                        const std::function<void(float)>& progress) {
  std::vector<TensorLayout> all;
  for (const StoragePlan& plan : plans) {
    for (TensorLayout& layout : layouts(plan)) all.push_back(std::move(layout));
  }
  std::uint64_t total = 0;
  for (const TensorLayout& layout : all) total += layout.num_bytes();
  TRY(staging.check_space(total));
  WeightFilesWriter writer = TRY(WeightFilesWriter::create(staging.path(), std::move(all)));
  std::uint64_t done = 0;
  for (const StoragePlan& plan : plans) {
    TRY(write_tensor(plan, writer));
    file.drop_pages(*plan.source);
    for (const TensorLayout& layout : layouts(plan)) done += layout.num_bytes();
    if (progress) progress(static_cast<float>(done) / static_cast<float>(std::max<std::uint64_t>(total, 1)));
  }
  TRY(writer.finish());
  return writer;
}

std::string storage_text(const json::object& quantization, const std::vector<StoragePlan>& plans) {
  if (!quantization.empty()) return std::to_string(quantization.at("bits").as_int64()) + " bits";
  for (const StoragePlan& plan : plans) {
    if (plan.source->shape.size() == 2) return std::string(to_string(layouts(plan).front().dtype));
  }
  return {};
}

Error with_file(Error error, const fs::path& file) {
  if (error.message.find(file.string()) == std::string::npos)
    error.message = file.string() + ": " + error.message;
  return error;
}

Result<ImportReport> fill(const GgufFile& file, const StagingFolder& staging, const ImportOptions& options) {
  GgufModel model = TRY(read_gguf_model(file));
  const GgufSpecialTokens special = TRY(read_special_tokens(file));
  const auto num_names = static_cast<std::int64_t>(TRY(file.strings("tokenizer.ggml.tokens"))->size());
  if (num_names != model.vocab_size) {
    return corrupt_data("tokenizer.ggml.tokens has " + std::to_string(num_names) +
                        " tokens, but token_embd.weight " + std::to_string(model.vocab_size) + " rows");
  }
  const json::object tokenizer = TRY(make_tokenizer(file, special));
  const std::int64_t context = model.config["max_position_embeddings"].as_int64();
  const json::object tokenizer_config = TRY(make_tokenizer_config(file, special, context));
  const std::vector<StoragePlan> plans = TRY(plan_tensors(file, model));

  const json::object quantization = make_quantization(plans);
  const json::object generation = make_generation_config(special);
  for (const auto& [key, value] : generation) model.config[key] = value;
  if (!quantization.empty()) {
    model.config["quantization"] = quantization;
    model.config["quantization_config"] = quantization;
  }
  TRY(staging.write_text("config.json", to_pretty_json(model.config)));
  TRY(staging.write_text("generation_config.json", to_pretty_json(generation)));
  TRY(staging.write_text("tokenizer.json", json::serialize(tokenizer)));
  TRY(staging.write_text("tokenizer_config.json", to_pretty_json(tokenizer_config)));

  ImportReport report;
  const WeightFilesWriter weights = TRY(write_weights(file, plans, staging, options.progress));
  report.weight_bytes = weights.file_bytes();
  report.num_tensors = static_cast<std::int64_t>(plans.size());
  report.storage = storage_text(quantization, plans);
  for (const StoragePlan& plan : plans) {
    if (plan.bits > 0 && plan.scale_dtype == DType::kF32) {
      report.notes.push_back(plan.name + ": scales are stored as F32, because their offsets do not fit F16");
    }
  }
  if (!file.has("tokenizer.chat_template")) report.notes.emplace_back("the file has no chat template");
  // What would be refused at load is refused now.
  report.num_parameters = TRY(ModelFolder::open(staging.path())).num_parameters();
  TRY(staging.write_text(kWeightIndexName, weights.index_json(report.num_parameters)));
  return report;
}

}  // namespace

Result<ImportReport> import_gguf(const fs::path& path, const ImportOptions& options) {
  const std::string name = TRY(choose_name(path, options));
  const fs::path target = options.models_folder / name;
  std::error_code error;
  if (fs::exists(target, error) && !options.overwrite) {
    return Error(ErrorKind::kConflict,
                 target.string() + " exists already; give another --name or remove it first");
  }
  const GgufFile file = TRY(GgufFile::open(path));
  StagingFolder staging = TRY(StagingFolder::create(target, "importing"));
  Result<ImportReport> filled = [&]() -> Result<ImportReport> {
    try {
      return fill(file, staging, options);
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory, "not enough memory to import " + path.string());
    }
  }();
  if (!filled.ok()) return with_file(filled.take_error(), path);
  ImportReport report = filled.take_value();
  TRY(staging.publish(options.overwrite));
  report.folder = target;
  report.name = name;
  return report;
}

}  // namespace mlxd

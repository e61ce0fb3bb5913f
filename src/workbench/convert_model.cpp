#include "workbench/convert_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "backends/cpu/dense_weights.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "model/quantize.h"
#include "model/weight_rows.h"
#include "workbench/conversion_plan.h"
#include "workbench/staging_folder.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;
// Numbers in memory at a time.
constexpr std::int64_t kPieceElements = std::int64_t{1} << 20U;
// No weight is so large; beyond it scales would not be finite.
constexpr float kAbsurd = 0x1p120F;

/// What a job has written, for its progress.
class Progress {
 public:
  Progress(const ConvertOptions& options, std::uint64_t total) : options_(options), total_(total) {}

  /// Errors: kCancelled.
  Result<void> add(std::uint64_t bytes) {
    done_ += bytes;
    if (options_.progress)
      options_.progress(static_cast<double>(done_) / static_cast<double>(std::max<std::uint64_t>(total_, 1)));
    if (options_.is_cancelled && options_.is_cancelled())
      return Error(ErrorKind::kCancelled, "stopped: " + options_.out.string() + " was not made");
    return {};
  }

 private:
  const ConvertOptions& options_;
  const std::uint64_t total_;
  std::uint64_t done_ = 0;
};

/// Rounds values to the type they are stored in.
Result<void> round_values(std::span<float> values, DType dtype, const std::string& name) {
  for (float& value : values) {
    const float rounded = round_to(dtype, value);
    if (!std::isfinite(rounded)) {
      return invalid_argument("tensor " + name + " holds " + std::to_string(value) + ", which " +
                                  std::string(torch_name(dtype)) + " cannot: use --dtype " +
                                  (dtype == DType::kF16 ? "bfloat16" : "float32"),
                              "dtype");
    }
    value = rounded;
  }
  return {};
}

/// Writes one module, piece by piece.
class ModuleWriter {
 public:
  ModuleWriter(const WeightMap& weights, const ConvertedModule& module, AffineScales scales,
               WeightFilesWriter& writer)
      : weights_(weights), module_(module), scales_(scales), writer_(writer) {}

  Result<void> write(Progress& progress) {
    const std::int64_t rows_at_once = std::max<std::int64_t>(1, kPieceElements / module_.columns());
    std::int64_t first_row = 0;
    for (const LinearSpec& part : module_.parts) {
      const WeightRowReader reader = TRY(WeightRowReader::open(part, weights_));
      for (std::int64_t row = 0; row < part.out_features; row += rows_at_once) {
        const std::int64_t count = std::min(rows_at_once, part.out_features - row);
        const std::uint64_t written = TRY(write_rows(reader, part, row, count, first_row + row));
        for (const TensorView* tensor : reader.tensors()) weights_.drop_pages(*tensor);
        TRY(progress.add(written));
      }
      first_row += part.out_features;
    }
    return {};
  }

 private:
  // Rows [row, row + count) of a part, which are rows from `target` on of the module. Returns the bytes
  // written.
  Result<std::uint64_t> write_rows(const WeightRowReader& reader, const LinearSpec& part, std::int64_t row,
                                   std::int64_t count, std::int64_t target) {
    // Also where its codes are kept: they are checked so.
    std::vector<float> values;
    TRY(reader.append_values(row, count, values));
    if (module_.kept) {
      TRY(reader.read(row, count, kept_));
      return write_parts(kept_.weight, kept_.scales, kept_.biases, count, target);
    }
    if (part.quantization.mode != QuantizationMode::kNone || reader.float_type() != module_.dtype)
      TRY(round_values(values, module_.dtype, part.name + ".weight"));
    rows_.clear();
    floats_.clear();
    if (module_.form.mode == QuantizationMode::kNone) {
      append_floats(module_.dtype, values, floats_);
      return write_parts(floats_, {}, {}, count, target);
    }
    const bool absurd =
        std::any_of(values.begin(), values.end(), [](float v) { return std::abs(v) > kAbsurd; });
    if (absurd) {
      return corrupt_data("tensor " + part.name +
                          ".weight holds numbers beyond 1e36; its weights are damaged, "
                          "get the model again");
    }
    quantize_rows(values, module_.form, module_.dtype, rows_, scales_);
    return write_parts(std::as_bytes(std::span(rows_.words)), rows_.scales, rows_.biases, count, target);
  }

  Result<std::uint64_t> write_parts(std::span<const std::byte> weight, std::span<const std::byte> scales,
                                    std::span<const std::byte> biases, std::int64_t count,
                                    std::int64_t target) {
    const auto write = [&](const char* suffix, std::span<const std::byte> data) -> Result<void> {
      if (data.empty()) return {};
      const std::uint64_t row_bytes = data.size() / static_cast<std::uint64_t>(count);
      return writer_.write_part(module_.name + suffix, static_cast<std::uint64_t>(target) * row_bytes, data);
    };
    TRY(write(".weight", weight));
    TRY(write(".scales", scales));
    TRY(write(".biases", biases));
    return weight.size() + scales.size() + biases.size();
  }

  const WeightMap& weights_;
  const ConvertedModule& module_;
  AffineScales scales_;
  WeightFilesWriter& writer_;
  QuantizedRows rows_;
  WeightRows kept_;
  std::vector<std::byte> floats_;
};

Result<void> write_tensor(const ConvertedTensor& tensor, const WeightMap& weights, WeightFilesWriter& writer,
                          Progress& progress) {
  std::uint64_t offset = 0;
  for (const std::string& part : tensor.parts) {
    const TensorView& view = *TRY(weights.get(part));
    std::vector<float> values =
        TRY(read_vector(part, static_cast<std::int32_t>(view.num_elements()), weights));
    if (tensor.added != 0.0F) {
      for (float& value : values) value = round_to(view.dtype, value + tensor.added);
    }
    TRY(round_values(values, tensor.dtype, view.name));
    std::vector<std::byte> bytes;
    append_floats(tensor.dtype, values, bytes);
    TRY(writer.write_part(tensor.name, offset, bytes));
    TRY(progress.add(bytes.size()));
    offset += bytes.size();
  }
  return {};
}

/// Files beside weights and configuration that belong to a model: tokenizer, template, generation settings,
/// code, licence.
bool is_carried(const fs::path& path) {
  constexpr std::array<std::string_view, 8> kExtensions = {".json",  ".jsonl",    ".jinja", ".txt",
                                                           ".model", ".tiktoken", ".py",    ".md"};
  const std::string name = path.filename().string();
  if (name.starts_with('.') || name == "config.json" || name.ends_with(".index.json")) return false;
  const std::string extension = path.extension().string();
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end() ||
         name.starts_with("LICENSE") || name.starts_with("NOTICE");
}

struct CarriedFile {
  fs::path path;
  std::uint64_t num_bytes = 0;
};

Result<std::vector<CarriedFile>> carried_files(const fs::path& folder) {
  std::vector<CarriedFile> files;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code unreadable;
    if (!is_carried(entries->path()) || !fs::is_regular_file(entries->path(), unreadable)) continue;
    files.push_back({entries->path(), fs::file_size(entries->path(), unreadable)});
  }
  if (error) return Error(ErrorKind::kIo, "cannot list " + folder.string() + ": " + error.message());
  std::sort(files.begin(), files.end(),
            [](const CarriedFile& a, const CarriedFile& b) { return a.path < b.path; });
  return files;
}

bool is_within(const fs::path& inner, const fs::path& outer) {
  const auto [end_outer, end_inner] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end_outer == outer.end();
}

/// Absolute, with a name.
fs::path normal_path(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  const fs::path normal = (error ? path : absolute).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

/// Refuses a target that would do harm. An existing one is only replaced if a model is all that goes.
Result<void> check_target(const fs::path& source, const fs::path& target, bool overwrite) {
  std::error_code error;
  const fs::path real_source = fs::weakly_canonical(normal_path(source), error);
  const fs::path real_target = fs::weakly_canonical(target, error);
  if (is_within(real_target, real_source) || is_within(real_source, real_target)) {
    return invalid_argument(target.string() + " and the source, " + source.string() +
                                ", lie one in the other: give another --out",
                            "out");
  }
  if (!fs::exists(fs::symlink_status(target, error))) return {};
  if (!overwrite) {
    return Error(ErrorKind::kConflict,
                 target.string() + " exists already; give another --out or remove it first", "out");
  }
  if (!fs::is_regular_file(target / "config.json", error)) {
    return Error(
        ErrorKind::kConflict,
        target.string() + " exists and is no model folder, so it is not replaced; give another --out", "out");
  }
  return {};
}

std::string modules_text(std::int64_t count) {
  return std::to_string(count) + (count == 1 ? " layer" : " layers");
}

void describe(const ModelFolder& source, const ConversionPlan& plan, ConvertReport& report) {
  std::set<std::string> used;
  std::int64_t requantized = 0;
  for (const ConvertedModule& module : plan.modules) {
    const bool was_quantized = module.parts.front().quantization.mode != QuantizationMode::kNone;
    const bool is_quantized = module.form.mode != QuantizationMode::kNone;
    report.kept += module.kept ? 1 : 0;
    report.quantized += is_quantized && !module.kept ? 1 : 0;
    report.dense += is_quantized ? 0 : 1;
    requantized += is_quantized && !module.kept && was_quantized ? 1 : 0;
    for (const LinearSpec& part : module.parts) used.insert(part.name);
  }
  if (requantized > 0) {
    report.notes.push_back(
        "the source is quantized already: " + modules_text(requantized) +
        " were quantized anew from the values of their codes; the original model would give "
        "better ones");
  }
  if (report.kept > 0)
    report.notes.push_back(modules_text(report.kept) + " are stored like this already and were copied");
  std::int64_t left_out = 0;
  std::set<std::string> tensors;
  for (const ConvertedTensor& tensor : plan.tensors) {
    tensors.insert(tensor.parts.begin(), tensor.parts.end());
  }
  for (const auto& [name, tensor] : source.weights().tensors()) {
    const std::string module = name.substr(0, name.rfind('.'));
    if (!tensors.contains(name) && !used.contains(module)) ++left_out;
  }
  if (left_out > 0) {
    report.notes.push_back(std::to_string(left_out) +
                           (left_out == 1 ? " tensor that the text model does not use was left out"
                                          : " tensors that the text model does not use were left out"));
  }
}

std::uint64_t tensor_bytes(const ConversionPlan& plan) {
  std::uint64_t bytes = 0;
  for (const TensorLayout& layout : plan.layouts()) bytes += layout.num_bytes();
  return bytes;
}

std::uint64_t total_bytes(const std::vector<CarriedFile>& files) {
  std::uint64_t bytes = 0;
  for (const CarriedFile& file : files) bytes += file.num_bytes;
  return bytes;
}

Result<ConvertReport> fill(const ModelFolder& source, const ConversionPlan& plan,
                           const StagingFolder& staging, const ConvertOptions& options) {
  const std::vector<CarriedFile> carried = TRY(carried_files(source.path()));
  const std::uint64_t total = tensor_bytes(plan);
  TRY(staging.check_space(total + total_bytes(carried)));

  TRY(staging.write_text("config.json", to_pretty_json(plan.config)));
  for (const CarriedFile& file : carried) TRY(staging.copy_file(file.path, file.path.filename().string()));
  WeightFilesWriter writer =
      TRY(WeightFilesWriter::create(staging.path(), plan.layouts(), options.max_file_bytes));
  Progress progress(options, total);
  for (const ConvertedModule& module : plan.modules)
    TRY(ModuleWriter(source.weights(), module, options.scales, writer).write(progress));
  for (const ConvertedTensor& tensor : plan.tensors)
    TRY(write_tensor(tensor, source.weights(), writer, progress));
  TRY(writer.finish());
  TRY(progress.add(0));

  ConvertReport report;
  // What would be refused at load is refused now.
  report.num_parameters = TRY(ModelFolder::open(staging.path())).num_parameters();
  TRY(staging.write_text(kWeightIndexName, writer.index_json(report.num_parameters)));
  report.source_bytes = source.weights().total_bytes();
  report.weight_bytes = writer.file_bytes();
  report.num_files = writer.num_files();
  report.bits_per_weight = 8.0 * static_cast<double>(total) /
                           static_cast<double>(std::max<std::int64_t>(report.num_parameters, 1));
  describe(source, plan, report);
  return report;
}

Error with_folder(Error error, const fs::path& folder) {
  const bool of_a_tensor = error.message.starts_with("tensor ");
  if (of_a_tensor) error.message = folder.string() + ": " + error.message;
  return error;
}

/// What is to be done, before anything is.
struct Conversion {
  fs::path target;
  ModelFolder source;
  ConversionPlan plan;
};

Result<Conversion> prepare(const fs::path& source_path, const ConvertOptions& options) {
  fs::path target = normal_path(options.out);
  TRY(check_target(source_path, target, options.overwrite));
  ModelFolder source = TRY(ModelFolder::open(source_path));
  const json::object config = TRY(read_json_object(source.path() / "config.json", kMaxConfigBytes));
  ConversionPlan plan = TRY(plan_conversion(source, config, options));
  return Conversion{std::move(target), std::move(source), std::move(plan)};
}

}  // namespace

Result<ConvertReport> convert_model(const fs::path& source_path, const ConvertOptions& options) {
  const Conversion conversion = TRY(prepare(source_path, options));
  StagingFolder staging = TRY(StagingFolder::create(conversion.target, "converting"));
  Result<ConvertReport> filled = [&]() -> Result<ConvertReport> {
    try {
      return fill(conversion.source, conversion.plan, staging, options);
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory, "not enough memory to convert " + source_path.string());
    }
  }();
  if (!filled.ok()) return with_folder(filled.take_error(), source_path);
  ConvertReport report = filled.take_value();
  TRY(staging.publish(options.overwrite));
  report.folder = conversion.target;
  return report;
}

Result<std::uint64_t> estimate_conversion(const fs::path& source_path, const ConvertOptions& options) {
  const Conversion conversion = TRY(prepare(source_path, options));
  return tensor_bytes(conversion.plan) + total_bytes(TRY(carried_files(conversion.source.path())));
}

}  // namespace mlxd

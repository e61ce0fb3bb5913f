#include "api/openai/model_list.h"

#include "api/json_text.h"

namespace mlxd::api::openai {

std::string encode_model(const ModelEntry& model) {
  std::string out = R"({"id":)";
  append_json_string(out, model.id);
  if (!model.parent.empty()) {
    out += R"(,"parent":)";
    append_json_string(out, model.parent);
  }
  out += R"(,"object":"model","created":)";
  append_json_number(out, model.created);
  out += R"(,"owned_by":"mlxd","loaded":)";
  out += model.loaded ? "true" : "false";
  if (model.context_tokens > 0) {
    out += R"(,"context_length":)";
    append_json_number(out, model.context_tokens);
  }
  if (model.num_parameters > 0) {
    out += R"(,"parameters":)";
    append_json_number(out, model.num_parameters);
  }
  if (!model.architecture.empty()) {
    out += R"(,"architecture":)";
    append_json_string(out, model.architecture);
  }
  if (!model.quantization.empty()) {
    out += R"(,"quantization":)";
    append_json_string(out, model.quantization);
  }
  if (model.size_bytes > 0) {
    out += R"(,"size_bytes":)";
    append_json_number(out, model.size_bytes);
  }
  out += R"(,"capabilities":["completion")";
  if (model.chat) out += R"(,"chat")";
  if (model.tools) out += R"(,"tools")";
  if (model.reasoning) out += R"(,"reasoning")";
  out += "]}";
  return out;
}

std::string encode_model_list(std::span<const ModelEntry> models) {
  std::string out = R"({"object":"list","data":[)";
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (i > 0) out += ',';
    out += encode_model(models[i]);
  }
  out += "]}";
  return out;
}

}  // namespace mlxd::api::openai

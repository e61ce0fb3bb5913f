#include "api/document/open_api.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <set>
#include <utility>

#include "api/document/type_notation.h"

namespace mlxd::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kAbout =
    "A server for language models in MLX's format that speaks the APIs of OpenAI, Anthropic and Ollama, and "
    "one of its own to manage it.\n\n"
    "null means absent. A field that is not described here is refused by name (or, with "
    "unknown-parameters = warn, listed in the header x-mlxd-ignored). `x-mlxd-use` says of each field "
    "whether "
    "it is honoured, only informs (it is accepted and changes nothing), or is refused unless its value asks "
    "for nothing. `x-mlxd-need` says of each route who may use it.";

json::string text_of(std::string_view value) { return json::string(value.data(), value.size()); }

std::string_view use_name(FieldUse use) {
  switch (use) {
    case FieldUse::kRequired:
    case FieldUse::kHonoured:
      return "honoured";
    case FieldUse::kInforms:
      return "informs";
    case FieldUse::kRefused:
      return "refused";
  }
  return "refused";
}

// Advice to those who are refused is written as the end of a message.
std::string sentence(std::string_view about) {
  std::string text(about);
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

Result<json::object> schema_of_shape(const ValueShape& shape) {
  using Kind = ValueShape::Kind;
  json::object schema;
  switch (shape.kind) {
    case Kind::kAny:
      break;
    case Kind::kBoolean:
      schema["type"] = "boolean";
      break;
    case Kind::kInteger:
      schema = {{"type", "integer"}, {"minimum", shape.least_integer}, {"maximum", shape.most_integer}};
      break;
    case Kind::kNumber:
      schema = {{"type", "number"},
                {shape.above_least ? "exclusiveMinimum" : "minimum", shape.least},
                {"maximum", shape.most}};
      break;
    case Kind::kText:
      schema["type"] = "string";
      if (!shape.choices.empty()) {
        json::array choices;
        for (const std::string_view choice : shape.choices) choices.push_back(text_of(choice));
        schema["enum"] = std::move(choices);
      }
      break;
    case Kind::kObject:
      schema["type"] = "object";
      if (shape.members != nullptr) schema = TRY(schema_of_fields(shape.members(), shape.open_members));
      break;
    case Kind::kTyped: {
      json::value typed = TRY(schema_of_type(shape.type));
      schema = std::move(typed.as_object());
      break;
    }
  }
  if (!shape.default_json.empty()) {
    json::error_code code;
    schema["default"] =
        json::parse(json::string_view(shape.default_json.data(), shape.default_json.size()), code);
    if (code) return invalid_argument("the default '" + std::string(shape.default_json) + "' is no JSON");
  }
  return schema;
}

json::object reference(std::string_view section, std::string_view name) {
  return {{"$ref", text_of("#/components/" + std::string(section) + "/" + std::string(name))}};
}

json::object content(std::string_view media_type, json::value schema) {
  return {{text_of(media_type), json::object{{"schema", std::move(schema)}}}};
}

// "/v1/models/{id...}" → "/v1/models/{id}"
std::string path_of(std::string_view pattern) {
  std::string path(pattern);
  if (const std::size_t dots = path.find("...}"); dots != std::string::npos) path.erase(dots, 3);
  return path;
}

std::string operation_id(const Operation& operation) {
  std::string id;
  for (const char c : operation.method) id += static_cast<char>(c - 'A' + 'a');
  for (const char c : operation.pattern) {
    if (c == '{' || c == '}' || c == '.') continue;
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    id += is_letter ? c : '_';
  }
  return id;
}

std::string_view tag_of(const Operation& operation) {
  const std::string_view pattern = operation.pattern;
  if (operation.errors == ErrorForm::kProblem) return "Management";
  if (operation.errors == ErrorForm::kOllama) return "Ollama";
  if (operation.errors == ErrorForm::kAnthropic) return "Anthropic";
  if (pattern.find("tokenize") != std::string_view::npos) return "Tokens";
  return pattern.starts_with("/v1/") ? "OpenAI" : "Server";
}

std::string_view error_response(ErrorForm form) {
  switch (form) {
    case ErrorForm::kOpenAi:
      return "OpenAiError";
    case ErrorForm::kAnthropic:
      return "AnthropicError";
    case ErrorForm::kOllama:
      return "OllamaError";
    case ErrorForm::kProblem:
      return "Problem";
  }
  return "Problem";
}

Result<json::array> parameters_of(const Operation& operation) {
  json::array parameters;
  std::string_view rest = operation.pattern;
  for (std::size_t open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
    rest.remove_prefix(open + 1);
    const std::size_t close = std::min(rest.find('}'), rest.size());
    std::string_view name = rest.substr(0, close);
    json::object parameter{{"in", "path"}, {"required", true}, {"schema", json::object{{"type", "string"}}}};
    if (name.ends_with("...")) {
      name.remove_suffix(3);
      parameter["description"] = "May have slashes in it.";
    }
    parameter["name"] = text_of(name);
    parameters.push_back(std::move(parameter));
  }
  for (TypedMember& member : TRY(members_of(operation.form.query)))
    parameters.push_back(json::object{{"in", "query"},
                                      {"name", json::string(member.name)},
                                      {"required", member.required},
                                      {"schema", std::move(member.schema)}});
  return parameters;
}

Result<json::object> responses_of(const Operation& operation) {
  const RouteForm& form = operation.form;
  json::object done{{"description", form.reply.empty() ? "Done." : "The answer."}};
  json::object bodies;
  if (!form.reply.empty()) bodies = content(form.media_type, TRY(schema_of_type(form.reply)));
  if (!form.stream.empty())
    bodies[text_of(form.stream_type)] =
        json::object{{"schema", json::object{{"type", "string"},
                                             {"description",
                                              "A stream: each event's data, or each line, is of "
                                              "the type in x-mlxd-event."}}},
                     {"x-mlxd-event", TRY(schema_of_type(form.stream))}};
  if (!bodies.empty()) done["content"] = std::move(bodies);
  done["headers"] = json::object{{"X-Request-ID", reference("headers", "RequestId")}};
  if (form.body.fields != nullptr)
    done["headers"].as_object()["x-mlxd-ignored"] = reference("headers", "Ignored");
  return json::object{{text_of(std::to_string(form.status)), std::move(done)},
                      {"default", reference("responses", error_response(operation.errors))}};
}

Result<json::object> operation_object(const Operation& operation) {
  json::object object{{"operationId", text_of(operation_id(operation))},
                      {"summary", text_of(operation.about)},
                      {"tags", json::array{text_of(tag_of(operation))}},
                      {"x-mlxd-need", text_of(operation.need)}};
  object["parameters"] = TRY(parameters_of(operation));
  const RouteForm& form = operation.form;
  if (form.body.fields != nullptr) {
    json::value schema = reference("schemas", form.body.name);
    if (form.or_body.fields != nullptr)
      schema = json::object{{"anyOf", json::array{schema, reference("schemas", form.or_body.name)}}};
    object["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", std::move(schema))}};
  }
  object["responses"] = TRY(responses_of(operation));
  if (operation.need == "anyone") object["security"] = json::array();
  return object;
}

json::object error_responses() {
  const auto response = [](const char* about, const char* media_type, const char* type) {
    return json::object{{"description", about},
                        {"headers", json::object{{"X-Request-ID", reference("headers", "RequestId")},
                                                 {"Retry-After", reference("headers", "RetryAfter")}}},
                        {"content", content(media_type, reference("schemas", type))}};
  };
  return {
      {"OpenAiError",
       response("An error: 400 names the field, 401 and 403 refuse the caller, 404 the model, 429 and 503 "
                "say when to come back.",
                "application/json", "OpenAiErrorBody")},
      {"AnthropicError",
       response("An error; 529 is overloaded_error.", "application/json", "AnthropicErrorBody")},
      {"OllamaError", response("An error.", "application/json", "OllamaErrorBody")},
      {"Problem", response("An error (RFC 9457).", "application/problem+json", "ProblemBody")}};
}

json::object headers() {
  const auto header = [](const char* about, const char* type) {
    return json::object{{"description", about}, {"schema", json::object{{"type", type}}}};
  };
  return {{"RequestId",
           header("The request's id: the client's, if it is sane, or one of the server's.", "string")},
          {"Ignored", header("What the request has that is understood and let be.", "string")},
          {"RetryAfter", header("Seconds after which to come back.", "integer")}};
}

json::object security_schemes() {
  return {{"bearer", json::object{{"type", "http"},
                                  {"scheme", "bearer"},
                                  {"description", "An API key, or the token of a session."}}},
          {"apiKey", json::object{{"type", "apiKey"},
                                  {"in", "header"},
                                  {"name", "x-api-key"},
                                  {"description", "An API key, as Anthropic's clients send it."}}},
          {"session", json::object{{"type", "apiKey"},
                                   {"in", "cookie"},
                                   {"name", "mlxd_session"},
                                   {"description",
                                    "The session of a page; what changes something also needs "
                                    "the header X-CSRF-Token."}}}};
}

// Every "#/components/schemas/…" below `value` must be there.
Result<void> check_references(const json::value& value, const json::object& schemas) {
  if (const json::array* list = value.if_array()) {
    for (const json::value& each : *list) TRY(check_references(each, schemas));
  }
  const json::object* object = value.if_object();
  if (object == nullptr) return {};
  for (const auto& [key, member] : *object) {
    constexpr std::string_view kPrefix = "#/components/schemas/";
    if (key == "$ref" && member.is_string()) {
      const std::string_view target(member.get_string().data(), member.get_string().size());
      if (target.starts_with(kPrefix) && !schemas.contains(target.substr(kPrefix.size())))
        return invalid_argument("the API's document has no type " + std::string(target));
    }
    TRY(check_references(member, schemas));
  }
  return {};
}

}  // namespace

Result<json::object> schema_of_fields(const std::vector<FieldInfo>& fields, bool open) {
  json::object properties;
  json::array required;
  for (const FieldInfo& field : fields) {
    json::object schema = TRY(schema_of_shape(field.meaning.shape));
    if (const std::string about = sentence(field.meaning.about); !about.empty())
      schema["description"] = text_of(about);
    schema["x-mlxd-use"] = text_of(use_name(field.use));
    properties[text_of(field.name)] = std::move(schema);
    if (field.use == FieldUse::kRequired) required.push_back(text_of(field.name));
  }
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = open;
  return schema;
}

Result<json::object> open_api_document(std::span<const Operation> operations, std::string_view version) {
  json::object schemas;
  for (const Component& component : components()) {
    json::object schema = TRY(schema_of_members(component.members));
    schema["description"] = text_of(component.about);
    schemas[text_of(component.name)] = std::move(schema);
  }
  json::object paths;
  std::set<std::string_view> tags;
  for (const Operation& operation : operations) {
    for (const BodyForm& body : {operation.form.body, operation.form.or_body}) {
      if (body.fields != nullptr) schemas[text_of(body.name)] = TRY(schema_of_fields(body.fields(), false));
    }
    std::string method(operation.method);
    for (char& c : method) c = static_cast<char>(c - 'A' + 'a');
    json::value& path = paths[text_of(path_of(operation.pattern))];
    if (!path.is_object()) path = json::object();
    path.as_object()[text_of(method)] = TRY(operation_object(operation));
    tags.insert(tag_of(operation));
  }
  json::array tag_list;
  for (const std::string_view tag : tags) tag_list.push_back(json::object{{"name", text_of(tag)}});
  json::object document{
      {"openapi", "3.1.0"},
      {"info",
       json::object{{"title", "mlxd"}, {"version", text_of(version)}, {"description", text_of(kAbout)}}},
      {"servers", json::array{json::object{{"url", "/"}}}},
      {"security",
       json::array{json::object{{"bearer", json::array()}}, json::object{{"apiKey", json::array()}},
                   json::object{{"session", json::array()}}}},
      {"tags", std::move(tag_list)},
      {"paths", std::move(paths)}};
  TRY(check_references(document.at("paths"), schemas));
  TRY(check_references(json::value(schemas), schemas));
  document["components"] = json::object{{"schemas", std::move(schemas)},
                                        {"responses", error_responses()},
                                        {"headers", headers()},
                                        {"securitySchemes", security_schemes()}};
  return document;
}

}  // namespace mlxd::api

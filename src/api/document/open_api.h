// The API described for programs: a document of OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), made of
// the tables that requests are held against. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"

namespace mlxd::api {

/// The body of a request; its fields are those that its decoder reads.
struct BodyForm {
  std::string_view name = {};  // of its type: "ChatCompletionRequest"; empty: none
  std::vector<FieldInfo> (*fields)() = nullptr;
};

enum class ErrorForm : std::uint8_t { kOpenAi, kAnthropic, kOllama, kProblem };

/// What a route takes and gives. Types are in the notation of type_notation.h.
struct RouteForm {
  BodyForm body = {};
  BodyForm or_body = {};         // another that it takes
  std::string_view query = {};   // members of the URL's query
  std::string_view reply = {};   // type of the reply's body; empty: none
  std::string_view stream = {};  // type of each event of a streamed reply; empty: there is none
  std::string_view media_type = "application/json";  // of the reply
  std::string_view stream_type = "text/event-stream";
  int status = 200;
};

struct Operation {
  std::string_view method;   // "GET"
  std::string_view pattern;  // as the router has it: "/v1/models/{id...}"
  std::string_view about;    // a sentence
  std::string_view need;     // who may: "generate"; "anyone" needs no credentials
  ErrorForm errors = ErrorForm::kOpenAi;
  RouteForm form = {};
};

/// Errors (kInvalidArgument): a type in the tables is malformed, or is not among the components.
Result<boost::json::object> open_api_document(std::span<const Operation> operations,
                                              std::string_view version);

/// The schema of an object with these fields. Fields that no table has are refused, unless `open`.
Result<boost::json::object> schema_of_fields(const std::vector<FieldInfo>& fields, bool open);

/// A type with a name of its own.
struct Component {
  std::string_view name;
  std::string_view about;
  std::string_view members = {};  // of an object
};
std::span<const Component> components();

}  // namespace mlxd::api

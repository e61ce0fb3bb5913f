#include "server/response_routes.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <utility>

#include "api/json_text.h"
#include "api/openai/response_list.h"
#include "server/query_values.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace openai = api::openai;

ManageAnswer json_answer(std::string text) {
  ManageAnswer answer;
  answer.content_type = "application/json";
  answer.text = std::move(text);
  return answer;
}

Result<ManageAnswer> show(ResponseArchive& archive, const http::Request& request, const Caller& caller) {
  const std::optional<std::string> stream = TRY(query_value(request.query, "stream"));
  if (stream && *stream == "true")
    return invalid_argument("stream is only taken when the response is made", "stream");
  StoredResponse found = TRY(archive.find(response_owner(caller), request.parameter("id")));
  return json_answer(std::move(found.response_json));
}

Result<ManageAnswer> remove(ResponseArchive& archive, const http::Request& request, const Caller& caller) {
  const std::string id(request.parameter("id"));
  TRY(archive.remove(response_owner(caller), id));
  return ManageAnswer{.body = json::object{{"id", id}, {"object", "response"}, {"deleted", true}}};
}

Result<ManageAnswer> list_input(ResponseArchive& archive, const http::Request& request,
                                const Caller& caller) {
  openai::ItemPage page;
  page.limit = static_cast<std::size_t>(TRY(
      query_number(request.query, "limit", openai::ItemPage::kDefaultLimit, openai::ItemPage::kMaxLimit)));
  if (page.limit == 0)
    return invalid_argument(
        "limit is 0, must be between 1 and " + std::to_string(openai::ItemPage::kMaxLimit), "limit");
  const std::string order = TRY(query_value(request.query, "order")).value_or("desc");
  if (order != "asc" && order != "desc")
    return invalid_argument("order is '" + order.substr(0, 40) + "', must be asc or desc", "order");
  page.ascending = order == "asc";
  page.after = TRY(query_value(request.query, "after")).value_or("");
  const StoredResponse found = TRY(archive.find(response_owner(caller), request.parameter("id")));
  return json_answer(TRY(openai::encode_item_list(found.input_json, page)));
}

// Only what is made in the background could be cancelled so; a stream ends when its reader goes.
Result<ManageAnswer> cancel(ResponseArchive& archive, const http::Request& request, const Caller& caller) {
  const std::string id(request.parameter("id"));
  TRY(archive.find(response_owner(caller), id));
  return invalid_argument("the response '" + id +
                          "' has ended and was not made in the background: there is nothing to cancel");
}

}  // namespace

void add_response_routes(ManageRoutes& routes, ResponseArchive& archive) {
  const auto add = [&](const char* method, const char* pattern, auto handle) {
    routes.add(method, pattern, [&archive, handle](const http::Request& request, const Caller& caller) {
      return handle(archive, request, caller);
    });
  };
  add("GET", "/v1/responses/{id}", show);
  add("DELETE", "/v1/responses/{id}", remove);
  add("GET", "/v1/responses/{id}/input_items", list_input);
  add("POST", "/v1/responses/{id}/cancel", cancel);
}

}  // namespace mlxd

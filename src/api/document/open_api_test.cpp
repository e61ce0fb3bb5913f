#include "api/document/open_api.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <set>

#include "api/field_reader.h"

namespace mlxd::api {
namespace {

namespace json = boost::json;

struct Draft {};

constexpr std::string_view kColours[] = {"red", "green", "blue"};

constexpr Field<Draft> kInner[] = {
    {"depth", FieldUse::kRequired, nullptr, {"How deep.", integer(1, 9)}},
};
constexpr Field<Draft> kFields[] = {
    {"name", FieldUse::kRequired, nullptr, {"What it is called.", text()}},
    {"heat", FieldUse::kHonoured, nullptr, {"How hot.", number(0.0, 2.0).by_default("1")}},
    {"share", FieldUse::kHonoured, nullptr, {"How much.", number_above(0.0, 1.0)}},
    {"colour", FieldUse::kHonoured, nullptr, {"Which.", one_of(kColours)}},
    {"inner", FieldUse::kHonoured, nullptr, {"More.", object_of([] { return infos_of<Draft>(kInner); })}},
    {"list", FieldUse::kHonoured, nullptr, {"Several.", typed("string|string[]")}},
    {"user", FieldUse::kInforms},
    {"old", FieldUse::kRefused, nullptr, {"use name"}},
};

Result<void> read(const char* body) {
  Draft draft;
  return read_fields<Draft>(TRY(parse_request_object(body)), kFields, draft);
}

TEST(FieldShapes, are_held_against_requests_by_name) {
  EXPECT_TRUE(read(R"({"name":"n","heat":0.5,"share":1,"colour":"red","inner":{"depth":3.0},"list":7,
                       "user":{"any":1},"old":null})")
                  .ok());
  const struct {
    const char* body;
    const char* field;
    const char* message;
  } cases[] = {
      {R"({})", "name", "name is missing"},
      {R"({"name":null})", "name", "name is missing"},
      {R"({"name":5})", "name", "must be a string, but is 5"},
      {R"({"name":"n","heat":3})", "heat", "heat is 3, must be between 0 and 2"},
      {R"({"name":"n","heat":"1"})", "heat", "must be a number"},
      {R"({"name":"n","share":0})", "share", "must be above 0 and at most 1"},
      {R"({"name":"n","colour":"pink"})", "colour", R"(is "pink", must be red, green or blue)"},
      {R"({"name":"n","inner":5})", "inner", "must be an object"},
      {R"({"name":"n","old":"x"})", "old", "old is not supported: use name"},
      {R"({"name":"n","odd":1})", "odd", "unknown parameter 'odd'"},
      {R"({"name":"n","haet":1})", "haet", "did you mean 'heat'"},
  };
  for (const auto& each : cases) {
    const auto done = read(each.body);
    ASSERT_FALSE(done.ok()) << each.body;
    EXPECT_EQ(done.error().field, each.field) << each.body;
    EXPECT_NE(done.error().message.find(each.message), std::string::npos) << done.error().message;
  }
}

TEST(FieldShapes, name_members_with_their_path) {
  Draft draft;
  const json::object object{{"depth", 10}};
  const auto done = read_fields<Draft>(object, kInner, draft, "a.b");
  EXPECT_EQ(done.error().field, "a.b.depth");
}

TEST(OpenApi, describes_fields_as_they_are_read) {
  const auto schema = schema_of_fields(infos_of<Draft>(kFields), false);
  ASSERT_TRUE(schema.ok()) << schema.error().message;
  EXPECT_EQ(json::value(*schema), json::parse(R"({
    "type":"object",
    "properties":{
      "name":{"type":"string","description":"What it is called.","x-mlxd-use":"honoured"},
      "heat":{"type":"number","minimum":0.0,"maximum":2.0,"default":1,"description":"How hot.",
              "x-mlxd-use":"honoured"},
      "share":{"type":"number","exclusiveMinimum":0.0,"maximum":1.0,"description":"How much.",
               "x-mlxd-use":"honoured"},
      "colour":{"type":"string","enum":["red","green","blue"],"description":"Which.","x-mlxd-use":"honoured"},
      "inner":{"type":"object",
               "properties":{"depth":{"type":"integer","minimum":1,"maximum":9,"description":"How deep.",
                                      "x-mlxd-use":"honoured"}},
               "required":["depth"],"additionalProperties":false,"description":"More.",
               "x-mlxd-use":"honoured"},
      "list":{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}],
              "description":"Several.","x-mlxd-use":"honoured"},
      "user":{"x-mlxd-use":"informs"},
      "old":{"description":"Use name.","x-mlxd-use":"refused"}},
    "required":["name"],
    "additionalProperties":false})"));
}

TEST(OpenApi, names_a_type_that_is_not_there) {
  const Operation operation{
      .method = "GET", .pattern = "/x", .about = "X.", .need = "look", .form = {.reply = "Nothing[]"}};
  const auto document = open_api_document({&operation, 1}, "1");
  ASSERT_FALSE(document.ok());
  EXPECT_NE(document.error().message.find("Nothing"), std::string::npos);
}

TEST(OpenApi, has_each_component_once) {
  std::set<std::string_view> names;
  for (const Component& component : components()) {
    EXPECT_TRUE(names.insert(component.name).second) << component.name;
    EXPECT_FALSE(component.about.empty()) << component.name;
  }
}

TEST(OpenApi, says_of_a_route_what_it_takes_and_gives) {
  const Operation operation{.method = "POST",
                            .pattern = "/v1/things/{kind}/{id...}",
                            .about = "Does it.",
                            .need = "generate",
                            .form = {.body = {"Thing", [] { return infos_of<Draft>(kFields); }},
                                     .query = "limit?:integer(1..9)=5",
                                     .reply = "Usage",
                                     .stream = "Usage",
                                     .status = 201}};
  const auto document = open_api_document({&operation, 1}, "1.2");
  ASSERT_TRUE(document.ok()) << document.error().message;
  const json::value value(*document);
  EXPECT_EQ(value.at_pointer("/info/version"), "1.2");
  const json::value& post = value.at_pointer("/paths/~1v1~1things~1{kind}~1{id}/post");
  EXPECT_EQ(post.at("operationId"), "post_v1_things_kind_id");
  EXPECT_EQ(post.at("x-mlxd-need"), "generate");
  EXPECT_EQ(post.at("parameters").as_array().size(), 3U);
  EXPECT_EQ(post.at_pointer("/parameters/1/name"), "id");
  EXPECT_EQ(post.at_pointer("/parameters/2/schema/default"), 5);
  EXPECT_EQ(post.at_pointer("/requestBody/content/application~1json/schema/$ref"),
            "#/components/schemas/Thing");
  EXPECT_EQ(post.at_pointer("/responses/201/content/application~1json/schema/$ref"),
            "#/components/schemas/Usage");
  EXPECT_EQ(post.at_pointer("/responses/201/content/text~1event-stream/x-mlxd-event/$ref"),
            "#/components/schemas/Usage");
  EXPECT_EQ(post.at_pointer("/responses/default/$ref"), "#/components/responses/OpenAiError");
  EXPECT_TRUE(value.at_pointer("/components/schemas").as_object().contains("Thing"));
}

}  // namespace
}  // namespace mlxd::api

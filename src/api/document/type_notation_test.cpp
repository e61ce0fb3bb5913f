#include "api/document/type_notation.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace mlxd::api {
namespace {

namespace json = boost::json;

TEST(TypeNotation, stands_for_schemas) {
  const struct {
    const char* type;
    const char* schema;
  } cases[] = {
      {"string", R"({"type":"string"})"},
      {"any", R"({})"},
      {"null", R"({"type":"null"})"},
      {"'text'", R"({"const":"text"})"},
      {"''", R"({"const":""})"},
      {"'a b'|'c'", R"({"enum":["a b","c"]})"},
      {"string|null", R"({"type":["string","null"]})"},
      {"Name", R"({"$ref":"#/components/schemas/Name"})"},
      {"Name|null", R"({"anyOf":[{"$ref":"#/components/schemas/Name"},{"type":"null"}]})"},
      {"integer[][]", R"({"type":"array","items":{"type":"array","items":{"type":"integer"}}})"},
      {"(number|null)[]", R"({"type":"array","items":{"type":["number","null"]}})"},
      {"string|Part[]",
       R"({"anyOf":[{"type":"string"},{"type":"array","items":{"$ref":"#/components/schemas/Part"}}]})"},
      {"integer(0..20)", R"({"type":"integer","minimum":0,"maximum":20})"},
      {"number(-2..2)", R"({"type":"number","minimum":-2,"maximum":2})"},
  };
  for (const auto& each : cases) {
    const auto schema = schema_of_type(each.type);
    ASSERT_TRUE(schema.ok()) << each.type << ": " << schema.error().message;
    EXPECT_EQ(*schema, json::parse(each.schema)) << each.type;
  }
}

TEST(TypeNotation, says_what_is_malformed) {
  for (const char* type : {"", "string|", "(string", "string)", "string[", "integer(1)", "integer(1..)",
                           "integer(a..b)", "a b", "|a", "[]"}) {
    const auto schema = schema_of_type(type);
    ASSERT_FALSE(schema.ok()) << type;
    EXPECT_EQ(schema.error().kind, ErrorKind::kInvalidArgument);
  }
  for (const char* members : {"string", "a:", ":string", "a:string b", "a?string", "a:integer=x"})
    EXPECT_FALSE(members_of(members).ok()) << members;
}

TEST(TypeNotation, makes_objects_of_members) {
  EXPECT_EQ(json::value(*schema_of_members("id:string limit?:integer(1..9)=5 order?:'asc'|'desc'=\"asc\"")),
            json::parse(R"({"type":"object","properties":{
              "id":{"type":"string"},
              "limit":{"type":"integer","minimum":1,"maximum":9,"default":5},
              "order":{"enum":["asc","desc"],"default":"asc"}},"required":["id"]})"));
  EXPECT_EQ(json::value(*schema_of_members("")), json::parse(R"({"type":"object","properties":{}})"));
}

}  // namespace
}  // namespace mlxd::api

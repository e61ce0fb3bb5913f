// The items of a response's input and output as messages, and as they are kept. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/message.h"

namespace mlxd::api::openai {

/// "msg_" and the like, the response's id without its prefix, and what tells the item from its others.
std::string item_id(std::string_view prefix, std::string_view response, std::string_view item);
/// "resp_…" of an item's id; empty if it is none of ours.
std::string response_of_item(std::string_view item_id);

/// A request's `input` as a list of items, each with its type. Errors name the field.
Result<boost::json::array> read_input(const boost::json::value& input);

struct ItemsOptions {
  std::string path = "input";  // for errors: "input[2].content"
  bool strict = false;         // keys that nothing reads are refused
};
/// Reasoning, text and calls that follow each other become one assistant's message. References are left out;
/// items of tools that this program lacks too, and noted in `ignored`. Errors: kInvalidArgument, kUnsupported
/// (images, files, compacted history).
Result<std::vector<Message>> read_items(const boost::json::array& items, const ItemsOptions& options,
                                        std::vector<std::string>& ignored);

/// Gives each item the id that it lacks, from the response's (without its prefix) and its place, and a
/// status.
void number_items(boost::json::array& items, std::string_view response);

}  // namespace mlxd::api::openai

// A model's way of chatting: from a conversation to the text of its prompt, and to how the answer is to be
// read. Immutable, thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/conversation.h"
#include "text/chat_template.h"
#include "text/dialects/output_parser.h"
#include "text/families/family.h"
#include "text/template_traits.h"
#include "text/tokenizer.h"

namespace mlxd {

class ChatFormat {
 public:
  struct Options {
    /// Where the template knows no tools, tell the model about them in the system message.
    bool tool_prompt = true;
  };

  /// Of a model's folder: its templates by name. Without any, ChatML if the tokenizer has its marks. Errors:
  /// kNotFound if the folder has no template and its tokenizer no ChatML; others as ChatTemplate::open_all.
  static Result<ChatFormat> open(const std::filesystem::path& folder, const Tokenizer& tokenizer,
                                 Options options);
  static Result<ChatFormat> open(const std::filesystem::path& folder, const Tokenizer& tokenizer) {
    return open(folder, tokenizer, Options());
  }
  /// `templates` by name, with "default". `model_type` and `folder_name` may be empty.
  static Result<ChatFormat> create(std::map<std::string, ChatTemplate> templates, std::string_view model_type,
                                   std::string_view folder_name, Options options);

  /// A prompt, and how the answer to it is written.
  struct Prompt {
    std::string text;  // has its special tokens
    dialects::OutputFormat format;
    dialects::OutputParser::Start start = dialects::OutputParser::Start::kContent;
  };
  /// Errors name the field: kInvalidArgument with the template's own message ("messages"); kUnsupported where
  /// the model has no tools ("tools") or no such effort ("reasoning_effort").
  Result<Prompt> write(const Conversation& conversation) const;

  const Family& family() const { return *family_; }
  /// What the default template can do, and its switches.
  const TemplateTraits& traits() const { return templates_.at("default").traits; }
  /// Ids of the family's end tokens, as far as the tokenizer has them.
  std::vector<TokenId> end_tokens(const Tokenizer& tokenizer) const;

 private:
  struct Template {
    ChatTemplate chat_template;
    TemplateTraits traits;
  };

  ChatFormat() = default;
  const Template& template_for(const Conversation& conversation) const;
  Result<std::string> effort_variables(const Conversation& conversation, const Template& chosen) const;

  std::map<std::string, Template> templates_;  // has "default"
  const Family* family_ = nullptr;
  Options options_;
};

}  // namespace mlxd

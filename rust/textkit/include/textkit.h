// C ABI of the Rust archive textkit: tokenizers, chat templates and grammar masks.
//
// Rules for every function here:
// - It never throws, never aborts on bad input, and no Rust panic leaves it: a panic becomes
// TEXTKIT_INTERNAL.
// - A function that can fail returns a status and, unless that is TEXTKIT_OK, fills `error` with a message in
//   UTF-8. `error` may be null. Outputs are untouched on failure.
// - A TextkitText that a function filled belongs to the caller, who frees it with textkit_text_free.
// - Handles are freed once, with their own free function; null is allowed there.
// - Tokenizers, templates and grammar environments are immutable and may be used from several threads at
// once.
//   A grammar matcher has one owner at a time.
#ifndef TEXTKIT_H
#define TEXTKIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum TextkitStatus {
  TEXTKIT_OK = 0,
  TEXTKIT_INVALID = 1,      // the caller's text, template, schema or id is at fault
  TEXTKIT_CORRUPT = 2,      // a tokenizer file breaks its own format
  TEXTKIT_UNSUPPORTED = 3,  // understood, but not possible with this tokenizer or grammar engine
  TEXTKIT_TOO_LARGE = 4,    // over a limit named in the message
  TEXTKIT_INTERNAL = 5,     // a fault of this library or of one it uses
} TextkitStatus;

/// Borrowed bytes; `data` may be null if `size` is 0.
typedef struct TextkitView {
  const char* data;
  size_t size;
} TextkitView;

/// Owned bytes; start from {NULL, 0, 0}.
typedef struct TextkitText {
  char* data;
  size_t size;
  size_t capacity;
} TextkitText;

void textkit_text_free(TextkitText* text);

// ---- tokenizer ----

typedef struct TextkitTokenizer TextkitTokenizer;

/// How the whole-sequence decoder joins tokens, as far as a streaming decoder needs to know.
typedef enum TextkitDecoder {
  TEXTKIT_DECODER_BYTES = 0,  // the pieces' bytes in a row, invalid UTF-8 replaced (ByteLevel)
  TEXTKIT_DECODER_PIECES =
      1,  // text pieces in a row; a run of byte pieces is one string or, if invalid, as many
          // U+FFFD as it has bytes (SentencePiece, byte fallback, Metaspace, WordPiece)
  TEXTKIT_DECODER_OTHER = 2,  // only textkit_tokenizer_decode knows
} TextkitDecoder;

enum {
  TEXTKIT_TOKEN_PRESENT = 1,  // the id names a token
  TEXTKIT_TOKEN_SPECIAL = 2,  // skipped by skip_special_tokens
  TEXTKIT_TOKEN_ADDED = 4,    // from the added vocabulary
  TEXTKIT_TOKEN_BYTE = 8,     // a byte-fallback token: its piece is one byte
};

/// Views into the tokenizer, valid as long as it is.
typedef struct TextkitTokenTable {
  const uint8_t* pieces;    // all pieces in a row, as they stand in running text
  const uint32_t* offsets;  // [vocab_size + 1]
  const uint8_t* flags;     // [vocab_size]
  uint32_t vocab_size;      // largest id + 1
  TextkitDecoder decoder;
  uint32_t strip_start;         // PIECES: up to so many `strip_character` leave the start of the whole text
  uint32_t strip_character;     // a code point
  uint8_t first_piece_differs;  // the first token of a sequence needs textkit_tokenizer_first_piece
} TextkitTokenTable;

TextkitStatus textkit_tokenizer_parse(TextkitView tokenizer_json, TextkitTokenizer** tokenizer,
                                      TextkitText* error);
void textkit_tokenizer_free(TextkitTokenizer* tokenizer);
void textkit_tokenizer_table(const TextkitTokenizer* tokenizer, TextkitTokenTable* table);
/// Bytes requested from the allocator while parsing and not given back: the tables' size.
size_t textkit_tokenizer_memory_bytes(const TextkitTokenizer* tokenizer);

/// `ids` is filled with 32-bit ids in native byte order (size is in bytes).
TextkitStatus textkit_tokenizer_encode(const TextkitTokenizer* tokenizer, TextkitView text,
                                       int add_special_tokens, TextkitText* ids, TextkitText* error);
/// Unknown ids give no text.
TextkitStatus textkit_tokenizer_decode(const TextkitTokenizer* tokenizer, const uint32_t* ids, size_t num_ids,
                                       int skip_special_tokens, TextkitText* text, TextkitText* error);
/// The text of `id` where it is the first token that gives text.
TextkitStatus textkit_tokenizer_first_piece(const TextkitTokenizer* tokenizer, uint32_t id,
                                            TextkitText* piece, TextkitText* error);
/// Empty if there is no such token.
TextkitStatus textkit_tokenizer_name(const TextkitTokenizer* tokenizer, uint32_t id, TextkitText* name,
                                     TextkitText* error);
/// -1 if there is no such token.
int64_t textkit_tokenizer_id(const TextkitTokenizer* tokenizer, TextkitView name);

// ---- chat template ----

typedef struct TextkitTemplate TextkitTemplate;

/// What strftime_now prints.
typedef struct TextkitTime {
  int64_t unix_seconds;
  int32_t utc_offset_seconds;
} TextkitTime;

TextkitStatus textkit_template_parse(TextkitView source, TextkitTemplate** chat_template, TextkitText* error);
void textkit_template_free(TextkitTemplate* chat_template);
/// `messages_json` is an array; `variables_json` an object of all other variables. `tools` and `documents`
/// are None unless given. TEXTKIT_INVALID: the template's own raise_exception, or the line and cause.
TextkitStatus textkit_template_render(const TextkitTemplate* chat_template, TextkitView messages_json,
                                      TextkitView variables_json, TextkitTime now, TextkitText* text,
                                      TextkitText* error);

// ---- grammar ----

typedef struct TextkitGrammarEnvironment TextkitGrammarEnvironment;
typedef struct TextkitGrammarMatcher TextkitGrammarMatcher;

/// Prepares masks for a model of `vocab_size` logits (at least the tokenizer's; ids beyond the tokenizer's
/// are never allowed). `end_tokens` end the text; at least one. Takes a tenth of a second: one per model.
TextkitStatus textkit_grammar_environment_new(const TextkitTokenizer* tokenizer, uint32_t vocab_size,
                                              const uint32_t* end_tokens, size_t num_end_tokens,
                                              TextkitGrammarEnvironment** environment, TextkitText* error);
void textkit_grammar_environment_free(TextkitGrammarEnvironment* environment);

/// `kind`: "json_schema", "regex" or "lark". The matcher keeps what it needs of the environment alive.
TextkitStatus textkit_grammar_matcher_new(const TextkitGrammarEnvironment* environment, TextkitView kind,
                                          TextkitView source, TextkitGrammarMatcher** matcher,
                                          TextkitText* error);
/* Another matcher that has come as far as this one. */
TextkitStatus textkit_grammar_matcher_copy(const TextkitGrammarMatcher* matcher, TextkitGrammarMatcher** copy,
                                           TextkitText* error);
/// The same, sharing caches with this one: no two threads may use both at a time.
TextkitStatus textkit_grammar_matcher_fork(const TextkitGrammarMatcher* matcher, TextkitGrammarMatcher** fork,
                                           TextkitText* error);
/// `count`: how many of the tokens may come, one after the other.
TextkitStatus textkit_grammar_matcher_allowed(TextkitGrammarMatcher* matcher, const uint32_t* tokens,
                                              size_t num_tokens, size_t* count, TextkitText* error);
/// `bytes`: the text that comes next whatever is chosen, up to the first special token.
TextkitStatus textkit_grammar_matcher_forced(const TextkitGrammarMatcher* matcher, TextkitText* bytes,
                                             TextkitText* error);
void textkit_grammar_matcher_free(TextkitGrammarMatcher* matcher);
/// Sets bit i of `words` (i % 32 of word i / 32) where token i may come next; `num_words` is at least
/// (vocab_size + 31) / 32, the rest is cleared. Once the text is complete only end tokens are allowed.
TextkitStatus textkit_grammar_matcher_mask(TextkitGrammarMatcher* matcher, uint32_t* words, size_t num_words,
                                           TextkitText* error);
/// Advances by one sampled token. TEXTKIT_INVALID if the grammar does not allow it; the state is then
/// unchanged.
TextkitStatus textkit_grammar_matcher_accept(TextkitGrammarMatcher* matcher, uint32_t token,
                                             TextkitText* error);
/// `accepting`: the text may end here. `stopped`: nothing but an end token can follow.
TextkitStatus textkit_grammar_matcher_state(TextkitGrammarMatcher* matcher, int* accepting, int* stopped,
                                            TextkitText* error);

#ifdef __cplusplus
}
#endif

#endif  // TEXTKIT_H

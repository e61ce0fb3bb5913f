//! Token masks from a grammar. The environment (a trie of all tokens) is made once a model; a matcher follows one
//! text. Tokens are known by their running-text bytes; special tokens can only be named, never spelled.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::abi::{Failure, Status};
use crate::token_pieces::{ADDED, PRESENT, SPECIAL};
use crate::tokenizer::Tokenizer;

/// Schemas and grammars from clients: beyond this, compiling one is a way to occupy the machine.
const MAX_SOURCE_BYTES: usize = 4 << 20;
/// The trie can hold no longer token; published ones stay under 1,024 bytes.
const MAX_TOKEN_BYTES: usize = 1000;

struct TokenTrieEnvironment {
    trie: TokTrie,
}

impl TokenizerEnv for TokenTrieEnvironment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.greedy_tokenize(bytes)
    }
    /// Greedy splitting is not what the model saw in training, so tokens are not forced by it.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

pub struct GrammarEnvironment {
    factory: ParserFactory,
    vocab_size: u32,
}

impl GrammarEnvironment {
    pub fn new(tokenizer: &Tokenizer, vocab_size: u32, end_tokens: &[u32]) -> Result<GrammarEnvironment, Failure> {
        let smallest = tokenizer.vocab_size();
        if vocab_size < smallest || vocab_size > smallest.saturating_mul(2).saturating_add(1 << 20) {
            return Err(Failure::new(
                Status::Invalid,
                format!("a model of {vocab_size} logits does not fit a tokenizer of {smallest} tokens"),
            ));
        }
        if end_tokens.is_empty() {
            return Err(Failure::new(Status::Invalid, "constrained text needs at least one end token"));
        }
        if let Some(token) = end_tokens.iter().find(|token| **token >= smallest) {
            return Err(Failure::new(Status::Invalid, format!("end token {token} is not in the vocabulary")));
        }
        let info = TokRxInfo::new(vocab_size, end_tokens[0]);
        let words: Vec<Vec<u8>> = (0..vocab_size).map(|id| trie_bytes(tokenizer, id)).collect();
        let trie = TokTrie::from(&info, &words).with_eos_tokens(end_tokens);
        let environment: TokEnv = Arc::new(TokenTrieEnvironment { trie });
        let mut factory = ParserFactory::new(
            &environment,
            InferenceCapabilities { ff_tokens: false, ..Default::default() },
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| {
            Failure::new(Status::Unsupported, format!("vocabulary cannot be constrained: {error}"))
        })?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(GrammarEnvironment { factory, vocab_size })
    }

    pub fn matcher(&self, kind: &str, source: &str) -> Result<GrammarMatcher, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::new(
                Status::TooLarge,
                format!("{kind} has {} bytes, more than the {MAX_SOURCE_BYTES} accepted", source.len()),
            ));
        }
        let grammar = match kind {
            "json_schema" | "regex" | "lark" => TopLevelGrammar::from_tagged_str(kind, source),
            _ => return Err(Failure::new(Status::Invalid, format!("grammar kind '{kind}' is unknown"))),
        };
        let grammar = grammar.map_err(|error| Failure::new(Status::Invalid, format!("{kind}: {error}")))?;
        let parser = self.factory.create_parser(grammar);
        let matcher = Matcher::new(parser);
        if let Some(error) = matcher.get_error() {
            return Err(Failure::new(Status::Invalid, format!("{kind}: {}", first_lines(&error))));
        }
        Ok(GrammarMatcher {
            matcher,
            vocab_size: self.vocab_size,
            end_tokens: self.factory.tok_env().tok_trie().eos_tokens().to_vec(),
        })
    }
}

/// Special tokens carry a marker byte that no text has; ids without a token have no bytes and are never allowed.
fn trie_bytes(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let flags = tokenizer.table().flags(id);
    if flags & PRESENT == 0 {
        return Vec::new();
    }
    if flags & SPECIAL != 0 || (flags & ADDED != 0 && tokenizer.table().piece(id).is_empty()) {
        let mut bytes = vec![TokTrie::SPECIAL_TOKEN_MARKER];
        bytes.extend_from_slice(tokenizer.name(id).as_bytes());
        bytes.truncate(MAX_TOKEN_BYTES);
        return bytes;
    }
    let piece = tokenizer.table().piece(id);
    if piece.len() > MAX_TOKEN_BYTES || piece.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return Vec::new();
    }
    piece.to_vec()
}

/// The engine's messages can quote whole grammars.
fn first_lines(message: &str) -> String {
    let short: String = message.lines().take(6).collect::<Vec<_>>().join("; ");
    match short.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &short[..end]),
        None => short,
    }
}

pub struct GrammarMatcher {
    matcher: Matcher,
    vocab_size: u32,
    end_tokens: Vec<u32>,
}

impl GrammarMatcher {
    /// Another one that has come as far and shares nothing with this.
    pub fn copy(&self) -> GrammarMatcher {
        GrammarMatcher {
            matcher: self.matcher.deep_clone(),
            vocab_size: self.vocab_size,
            end_tokens: self.end_tokens.clone(),
        }
    }

    /// The same, sharing the lexer's caches with this one.
    pub fn fork(&self) -> GrammarMatcher {
        GrammarMatcher {
            matcher: self.matcher.clone(),
            vocab_size: self.vocab_size,
            end_tokens: self.end_tokens.clone(),
        }
    }

    /// How many of the tokens may come, one after the other.
    pub fn allowed(&mut self, tokens: &[u32]) -> usize {
        let known = tokens.iter().take_while(|token| **token < self.vocab_size).count();
        if self.matcher.is_stopped() {
            return 0;
        }
        self.matcher.validate_tokens(&tokens[..known]).unwrap_or(0)
    }

    /// The text that comes next whatever is chosen, up to the first special token.
    pub fn forced(&self) -> Vec<u8> {
        if self.matcher.is_stopped() {
            return Vec::new();
        }
        // Forcing goes on from there by itself, which a guess must not do to the text.
        let mut bytes = self.matcher.clone().compute_ff_bytes();
        if let Some(special) = bytes.iter().position(|byte| *byte == TokTrie::SPECIAL_TOKEN_MARKER) {
            bytes.truncate(special);
        }
        bytes
    }

    pub fn mask(&mut self, words: &mut [u32]) -> Result<(), Failure> {
        if words.len() < (self.vocab_size as usize).div_ceil(32) {
            return Err(Failure::new(
                Status::Invalid,
                format!("a mask of {} words is too short for {} tokens", words.len(), self.vocab_size),
            ));
        }
        let mask = self.matcher.compute_mask_or_eos().map_err(engine_failure)?;
        words.fill(0);
        let source = mask.as_slice();
        let length = source.len().min(words.len());
        words[..length].copy_from_slice(&source[..length]);
        Ok(())
    }

    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        if token >= self.vocab_size {
            return Err(Failure::new(Status::Invalid, format!("token {token} is not in the vocabulary")));
        }
        // The engine stops by itself once nothing can follow, and then takes no end token either.
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            if self.end_tokens.contains(&token) {
                return Ok(());
            }
            return Err(Failure::new(Status::Invalid, format!("token {token} comes after the end of the text")));
        }
        let accepted = self.matcher.try_consume_tokens(&[token]).map_err(engine_failure)?;
        if accepted == 1 {
            Ok(())
        } else {
            Err(Failure::new(Status::Invalid, format!("token {token} is not allowed by the grammar here")))
        }
    }

    pub fn is_accepting(&mut self) -> Result<bool, Failure> {
        self.matcher.is_accepting().map_err(engine_failure)
    }

    pub fn is_stopped(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn engine_failure(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Status::Unsupported,
        format!("grammar cannot be followed further: {}", first_lines(&error.to_string())),
    )
}

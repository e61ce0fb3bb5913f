//! A Hugging Face tokenizer with a flat table of what each token stands for, so that streaming decoders need not
//! call the library for every token.

use std::collections::HashMap;

use crate::abi::{Failure, Status};
use crate::counting_allocator::net_bytes;
use crate::token_pieces::{PieceRules, TokenTable};

/// Larger than any published tokenizer.json by a factor of ten.
const MAX_FILE_BYTES: usize = 256 << 20;
/// Far beyond any context window; keeps one call's memory within bounds.
const MAX_TEXT_BYTES: usize = 64 << 20;

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    rules: PieceRules,
    table: TokenTable,
    memory_bytes: usize,
}

impl Tokenizer {
    pub fn parse(json: &[u8]) -> Result<Tokenizer, Failure> {
        if json.len() > MAX_FILE_BYTES {
            return Err(Failure::new(
                Status::TooLarge,
                format!("tokenizer.json has {} bytes, more than the {MAX_FILE_BYTES} accepted", json.len()),
            ));
        }
        let before = net_bytes();
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| Failure::new(Status::Corrupt, format!("tokenizer.json is not valid: {error}")))?;
        // A file may ask for truncation or padding, which was right for its training run and never is for a prompt.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Failure::new(Status::Corrupt, format!("tokenizer.json: truncation: {error}")))?;
        let vocab_size = vocab_size(&inner)?;
        let rules = PieceRules::of(inner.get_decoder())?;
        let table = TokenTable::build(&inner, &rules, vocab_size)?;
        let memory_bytes = usize::try_from(net_bytes() - before).unwrap_or(0);
        Ok(Tokenizer { inner, rules, table, memory_bytes })
    }

    pub fn table(&self) -> &TokenTable {
        &self.table
    }

    pub fn rules(&self) -> &PieceRules {
        &self.rules
    }

    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub fn vocab_size(&self) -> u32 {
        self.table.vocab_size()
    }

    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Failure> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Failure::new(
                Status::TooLarge,
                format!(
                    "text has {} bytes, more than the {MAX_TEXT_BYTES} that can be tokenized at once",
                    text.len()
                ),
            ));
        }
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|error| Failure::new(Status::Invalid, format!("text cannot be tokenized: {error}")))?;
        let ids = encoding.get_ids();
        // A post-processor names its ids in the file, without regard to the vocabulary.
        if let Some(id) = ids.iter().find(|id| **id >= self.vocab_size()) {
            return Err(Failure::new(
                Status::Corrupt,
                format!("tokenizer.json: its post-processor inserts token {id}, which is not in the vocabulary"),
            ));
        }
        Ok(ids.to_vec())
    }

    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, Failure> {
        if !ids.iter().any(|id| self.table.gives_text(*id, skip_special_tokens)) {
            return Ok(String::new());
        }
        self.inner
            .decode(ids, skip_special_tokens)
            .map_err(|error| Failure::new(Status::Invalid, format!("tokens cannot be decoded: {error}")))
    }

    pub fn name(&self, id: u32) -> String {
        self.inner.id_to_token(id).unwrap_or_default()
    }

    pub fn id(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    pub fn first_piece(&self, id: u32) -> Result<Vec<u8>, Failure> {
        match self.inner.id_to_token(id) {
            Some(name) => self.rules.first_piece(self.inner.get_decoder(), &name),
            None => Ok(Vec::new()),
        }
    }
}

/// Largest id + 1. Ids far beyond the number of tokens would make tables of any size out of a small file.
fn vocab_size(inner: &tokenizers::Tokenizer) -> Result<u32, Failure> {
    let vocab: HashMap<String, u32> = inner.get_vocab(true);
    let largest = vocab.values().copied().chain(inner.get_added_tokens_decoder().keys().copied()).max();
    let Some(largest) = largest else {
        return Err(Failure::new(Status::Corrupt, "tokenizer.json has an empty vocabulary"));
    };
    let limit = 8 * vocab.len() + (1 << 20);
    if largest as usize >= limit {
        return Err(Failure::new(
            Status::Corrupt,
            format!("tokenizer.json gives a token the id {largest}, but has only {} tokens", vocab.len()),
        ));
    }
    Ok(largest + 1)
}

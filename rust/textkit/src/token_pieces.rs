//! What each token stands for in running text, taken out of the tokenizer's decoder once, at load.
//!
//! Most decoders work token by token and differ only in the first token of a text; those are laid out as a table.
//! Decoders that look across tokens in other ways are marked `Other`.

use serde_json::Value;
use tokenizers::{Decoder, DecoderWrapper};

use crate::abi::{guard, Failure, Status};

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderKind {
    Bytes = 0,
    Pieces = 1,
    Other = 2,
}

pub const PRESENT: u8 = 1;
pub const SPECIAL: u8 = 2;
pub const ADDED: u8 = 4;
pub const BYTE: u8 = 8;

/// How to get a token's piece from its name.
pub struct PieceRules {
    pub kind: DecoderKind,
    /// Up to `strip_start` times `strip_character` leave the start of the whole text.
    pub strip_start: u32,
    pub strip_character: char,
    pub first_piece_differs: bool,
    /// Decoders that map one token's name to its piece, in order.
    per_token: Vec<DecoderWrapper>,
    byte_fallback: bool,
    /// Without a decoder, tokens are joined by spaces.
    join_by_space: bool,
}

impl PieceRules {
    pub fn of(decoder: Option<&DecoderWrapper>) -> Result<PieceRules, Failure> {
        let mut rules = PieceRules {
            kind: DecoderKind::Pieces,
            strip_start: 0,
            strip_character: ' ',
            first_piece_differs: false,
            per_token: Vec::new(),
            byte_fallback: false,
            join_by_space: false,
        };
        let Some(decoder) = decoder else {
            rules.first_piece_differs = true;
            rules.join_by_space = true;
            return Ok(rules);
        };
        let description = serde_json::to_value(decoder)
            .map_err(|error| Failure::new(Status::Corrupt, format!("tokenizer.json: decoder: {error}")))?;
        let stages = match description["decoders"].as_array() {
            Some(stages) => stages.clone(),
            None => vec![description],
        };
        rules.classify(&stages);
        Ok(rules)
    }

    /// Accepts per-token stages, then byte fallback, then a fusion, then stripping at the start; each optional.
    fn classify(&mut self, stages: &[Value]) {
        let mut byte_level = false;
        let mut fused = false;
        for stage in stages {
            let name = stage["type"].as_str().unwrap_or_default();
            let accepted = match name {
                "ByteLevel" => {
                    let accepted = !byte_level && !fused && !self.byte_fallback && self.per_token.is_empty();
                    byte_level = true;
                    accepted
                }
                "Fuse" => {
                    fused = true;
                    true
                }
                _ if byte_level => false,
                "ByteFallback" if !fused && !self.byte_fallback => {
                    self.byte_fallback = true;
                    true
                }
                "Strip" if fused && self.strip_start == 0 => self.take_strip(stage),
                "Strip" => stage["stop"].as_u64() == Some(0) && self.take_per_token(stage, fused),
                "Replace" => self.take_per_token(stage, fused),
                "WordPiece" => {
                    self.first_piece_differs = true;
                    self.take_per_token(stage, fused)
                }
                "Metaspace" => {
                    self.first_piece_differs |= stage["prepend_scheme"].as_str() != Some("never");
                    self.take_per_token(stage, fused)
                }
                _ => false,
            };
            if !accepted {
                self.kind = DecoderKind::Other;
                return;
            }
        }
        if byte_level {
            self.kind = DecoderKind::Bytes;
        }
    }

    fn take_per_token(&mut self, stage: &Value, fused: bool) -> bool {
        if fused || self.byte_fallback {
            return false;
        }
        match serde_json::from_value(stage.clone()) {
            Ok(decoder) => {
                self.per_token.push(decoder);
                true
            }
            Err(_) => false,
        }
    }

    fn take_strip(&mut self, stage: &Value) -> bool {
        let character = stage["content"].as_str().and_then(|content| content.chars().next());
        let start = stage["start"].as_u64().and_then(|start| u32::try_from(start).ok());
        match (character, start, stage["stop"].as_u64()) {
            (Some(character), Some(start), Some(0)) => {
                self.strip_character = character;
                self.strip_start = start;
                true
            }
            _ => false,
        }
    }

    /// The byte that a byte-fallback token stands for, read exactly as the library reads it.
    fn fallback_byte(&self, piece: &str) -> Option<u8> {
        let named = self.byte_fallback && piece.len() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
        named.then(|| u8::from_str_radix(piece.get(3..5)?, 16).ok()).flatten()
    }

    /// (piece, is a byte-fallback byte) of a token that is not the first of its text.
    fn piece(&self, decoder: Option<&DecoderWrapper>, name: String) -> Result<(Vec<u8>, bool), Failure> {
        match self.kind {
            DecoderKind::Bytes => Ok((byte_level_bytes(&name), false)),
            DecoderKind::Pieces if self.join_by_space => Ok((format!(" {name}").into_bytes(), false)),
            DecoderKind::Pieces => {
                let mut tokens = vec![String::from("x"), name];
                self.apply(&mut tokens)?;
                let piece = tokens.pop().unwrap_or_default();
                Ok(match self.fallback_byte(&piece) {
                    Some(byte) => (vec![byte], true),
                    None => (piece.into_bytes(), false),
                })
            }
            // A decoder that fails on a lone token may still do for whole texts.
            DecoderKind::Other => {
                let piece = guard(|| self.first_piece(decoder, &name));
                Ok((piece.unwrap_or_else(|_| name.clone().into_bytes()), false))
            }
        }
    }

    pub fn first_piece(&self, decoder: Option<&DecoderWrapper>, name: &str) -> Result<Vec<u8>, Failure> {
        match self.kind {
            DecoderKind::Bytes => Ok(byte_level_bytes(name)),
            DecoderKind::Pieces if self.join_by_space => Ok(name.as_bytes().to_vec()),
            DecoderKind::Pieces => {
                let mut tokens = vec![name.to_string()];
                self.apply(&mut tokens)?;
                let piece = tokens.pop().unwrap_or_default();
                Ok(match self.fallback_byte(&piece) {
                    Some(byte) => vec![byte],
                    None => piece.into_bytes(),
                })
            }
            DecoderKind::Other => match decoder {
                Some(decoder) => {
                    decoder.decode(vec![name.to_string()]).map(String::into_bytes).map_err(broken_decoder)
                }
                None => Ok(name.as_bytes().to_vec()),
            },
        }
    }

    fn apply(&self, tokens: &mut Vec<String>) -> Result<(), Failure> {
        for decoder in &self.per_token {
            *tokens = decoder.decode_chain(std::mem::take(tokens)).map_err(broken_decoder)?;
        }
        Ok(())
    }
}

fn broken_decoder(error: tokenizers::Error) -> Failure {
    Failure::new(Status::Corrupt, format!("tokenizer.json: its decoder fails: {error}"))
}

/// ByteLevel names bytes by printable characters: those that are printable in Latin-1 stand for themselves, the
/// other 68 are numbered from U+0100 on. A name with any other character is its own UTF-8.
fn byte_level_bytes(name: &str) -> Vec<u8> {
    name.chars().map(byte_level_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| name.as_bytes().to_vec())
}

fn byte_level_byte(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8), // 0x00..=0x20
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8), // 0x7F..=0xA0
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// Pieces of all ids in a row, with flags.
pub struct TokenTable {
    pub pieces: Vec<u8>,
    pub offsets: Vec<u32>,
    pub flags: Vec<u8>,
}

impl TokenTable {
    pub fn build(
        tokenizer: &tokenizers::Tokenizer,
        rules: &PieceRules,
        vocab_size: u32,
    ) -> Result<TokenTable, Failure> {
        let added = tokenizer.get_added_vocabulary();
        let mut table = TokenTable {
            pieces: Vec::new(),
            offsets: Vec::with_capacity(vocab_size as usize + 1),
            flags: Vec::with_capacity(vocab_size as usize),
        };
        table.offsets.push(0);
        for id in 0..vocab_size {
            let mut flags = 0;
            if let Some(name) = tokenizer.id_to_token(id) {
                flags |= PRESENT;
                if added.is_special_token(&name) {
                    flags |= SPECIAL;
                }
                if added.simple_id_to_token(id).is_some() {
                    flags |= ADDED;
                }
                let (piece, is_byte) = rules.piece(tokenizer.get_decoder(), name)?;
                if is_byte {
                    flags |= BYTE;
                }
                table.pieces.extend_from_slice(&piece);
            }
            let end = u32::try_from(table.pieces.len()).map_err(|_| {
                Failure::new(Status::TooLarge, "tokenizer.json: its tokens have over 4 GB of text")
            })?;
            table.offsets.push(end);
            table.flags.push(flags);
        }
        table.pieces.shrink_to_fit();
        Ok(table)
    }

    pub fn vocab_size(&self) -> u32 {
        self.flags.len() as u32
    }

    pub fn flags(&self, id: u32) -> u8 {
        self.flags.get(id as usize).copied().unwrap_or(0)
    }

    pub fn piece(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match (self.offsets.get(id), self.offsets.get(id + 1)) {
            (Some(start), Some(end)) => &self.pieces[*start as usize..*end as usize],
            _ => &[],
        }
    }

    pub fn gives_text(&self, id: u32, skip_special_tokens: bool) -> bool {
        let flags = self.flags(id);
        flags & PRESENT != 0 && !(skip_special_tokens && flags & SPECIAL != 0)
    }
}

//! The C functions of tokenizers.

use crate::abi::{deliver, guard, Status, Text, View};
use crate::token_pieces::DecoderKind;
use crate::tokenizer::Tokenizer;

#[repr(C)]
pub struct TokenTableView {
    pieces: *const u8,
    offsets: *const u32,
    flags: *const u8,
    vocab_size: u32,
    decoder: DecoderKind,
    strip_start: u32,
    strip_character: u32,
    first_piece_differs: u8,
}

/// # Safety
/// As textkit.h says; so for every function here.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_parse(
    tokenizer_json: View,
    tokenizer: *mut *mut Tokenizer,
    error: *mut Text,
) -> Status {
    deliver(tokenizer, error, || Ok(Box::into_raw(Box::new(Tokenizer::parse(tokenizer_json.bytes())?))))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        let _ = guard(|| {
            drop(Box::from_raw(tokenizer));
            Ok(())
        });
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_table(tokenizer: *const Tokenizer, table: *mut TokenTableView) {
    let tokens = (*tokenizer).table();
    let rules = (*tokenizer).rules();
    table.write(TokenTableView {
        pieces: tokens.pieces.as_ptr(),
        offsets: tokens.offsets.as_ptr(),
        flags: tokens.flags.as_ptr(),
        vocab_size: tokens.vocab_size(),
        decoder: rules.kind,
        strip_start: rules.strip_start,
        strip_character: u32::from(rules.strip_character),
        first_piece_differs: u8::from(rules.first_piece_differs),
    });
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_memory_bytes(tokenizer: *const Tokenizer) -> usize {
    (*tokenizer).memory_bytes()
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: View,
    add_special_tokens: i32,
    ids: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(ids, error, || {
        let found = (*tokenizer).encode(text.text("text")?, add_special_tokens != 0)?;
        Ok(Text::from_bytes(found.iter().flat_map(|id| id.to_ne_bytes()).collect()))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const u32,
    num_ids: usize,
    skip_special_tokens: i32,
    text: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(text, error, || {
        let ids = if num_ids == 0 { &[][..] } else { std::slice::from_raw_parts(ids, num_ids) };
        Ok(Text::from_bytes((*tokenizer).decode(ids, skip_special_tokens != 0)?.into_bytes()))
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_first_piece(
    tokenizer: *const Tokenizer,
    id: u32,
    piece: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(piece, error, || Ok(Text::from_bytes((*tokenizer).first_piece(id)?)))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_name(
    tokenizer: *const Tokenizer,
    id: u32,
    name: *mut Text,
    error: *mut Text,
) -> Status {
    deliver(name, error, || Ok(Text::from_bytes((*tokenizer).name(id).into_bytes())))
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn textkit_tokenizer_id(tokenizer: *const Tokenizer, name: View) -> i64 {
    let found = guard(|| Ok((*tokenizer).id(name.text("name")?)));
    found.ok().flatten().map_or(-1, i64::from)
}

//! Rewrites of a template's source before it is compiled: what Jinja2 with transformers' extensions understands and
//! the engine does not. Lines keep their numbers.
//!
//! - `{% generation %}` marks what the assistant said, for training; it becomes a scope of its own.
//! - `a % b` becomes a function call, because the left side may be a string to be formatted.
//! - Adjacent string literals become one, and escapes in literals mean what they mean in Python.
//! - A plus sign before an operand says nothing and goes.

/// Called in place of the `%` operator.
pub const PERCENT_FUNCTION: &str = "mlxd_percent_operator";

/// More in one tag are left to the engine, which knows `%` on numbers; rewriting is quadratic in their number.
const MAX_PERCENT_OPERATORS: usize = 200;

pub fn rewrite(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() + 64);
    let mut rest = source.as_str();
    while let Some(start) = next_tag(rest) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        if rest.starts_with("{#") {
            let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let is_block = rest.starts_with("{%");
        let (tokens, end) = tokens_of_tag(rest, is_block);
        if is_block && first_word(rest, &tokens) == "raw" {
            let end = end_of_raw(rest, end);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        out.push_str(&rewrite_tag(&rest[..end], is_block, tokens));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn next_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Operand, // names, numbers
    Text,    // string literals
    Operator,
}

#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// The tokens between a tag's delimiters and the place after its end (or of the text's end, if it never ends).
fn tokens_of_tag(tag: &str, is_block: bool) -> (Vec<Token>, usize) {
    let bytes = tag.as_bytes();
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut at = 2;
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    while at < bytes.len() {
        let rest = &bytes[at..];
        let closes = |mark: &[u8]| rest.starts_with(mark);
        let end = if is_block {
            if closes(b"-%}") || closes(b"+%}") {
                Some(3)
            } else if closes(b"%}") {
                Some(2)
            } else {
                None
            }
        } else if depth == 0 {
            if closes(b"-}}") {
                Some(3)
            } else if closes(b"}}") {
                Some(2)
            } else {
                None
            }
        } else {
            None
        };
        if let Some(length) = end {
            return (tokens, at + length);
        }
        let length = match rest[0] {
            quote @ (b'"' | b'\'') => string_length(rest, quote),
            byte if is_word(byte) => rest.iter().take_while(|byte| is_word(**byte)).count(),
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'*' if rest.starts_with(b"**") => 2,
            b'/' if rest.starts_with(b"//") => 2,
            b'=' | b'!' | b'<' | b'>' if rest.get(1) == Some(&b'=') => 2,
            byte => {
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                1
            }
        };
        let kind = match rest[0] {
            b'"' | b'\'' => Kind::Text,
            byte if is_word(byte) => Kind::Operand,
            _ => Kind::Operator,
        };
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    (tokens, tag.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn string_length(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn first_word<'a>(tag: &'a str, tokens: &[Token]) -> &'a str {
    tokens.first().map_or("", |token| &tag[token.start..token.end])
}

/// After `{% endraw %}`; `from` is after `{% raw %}`.
fn end_of_raw(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(start) = text[at..].find("{%") {
        let (tokens, end) = tokens_of_tag(&text[at + start..], true);
        if first_word(&text[at + start..], &tokens) == "endraw" {
            return at + start + end;
        }
        at += start + 2;
    }
    text.len()
}

fn rewrite_tag(tag: &str, is_block: bool, tokens: Vec<Token>) -> String {
    if is_block && tokens.len() == 1 {
        let replacement = match first_word(tag, &tokens) {
            "generation" => Some("with"),
            "endgeneration" => Some("endwith"),
            _ => None,
        };
        if let Some(word) = replacement {
            return format!("{}{word}{}", &tag[..tokens[0].start], &tag[tokens[0].end..]);
        }
    }
    let mut tag = tag.to_string();
    let mut tokens = tokens;
    if tokens.windows(2).any(|pair| pair[0].kind == Kind::Text && pair[1].kind == Kind::Text) {
        tag = join_literals(&tag, &tokens);
        tokens = tokens_of_tag(&tag, is_block).0;
    }
    if let Some(rewritten) = rewrite_literals(&tag, &tokens) {
        tag = rewritten;
        tokens = tokens_of_tag(&tag, is_block).0;
    }
    for index in 0..tokens.len().saturating_sub(1) {
        let token = tokens[index];
        let text = &tag[token.start..token.end];
        let next_begins_operand = tokens[index + 1].kind != Kind::Operator
            || matches!(&tag[tokens[index + 1].start..][..1], "(" | "[" | "{");
        let has_left = index > 0 && ends_operand(&tag, &tokens, index - 1);
        if token.kind == Kind::Operator && text == "+" && next_begins_operand && !has_left {
            tag.replace_range(token.start..token.end, " ");
        }
    }
    if tokens.iter().filter(|token| is_percent(&tag, token)).count() > MAX_PERCENT_OPERATORS {
        return tag;
    }
    while let Some(index) = tokens.iter().position(|token| is_percent(&tag, token)) {
        match rewrite_percent(&tag, &tokens, index) {
            Some(rewritten) => tag = rewritten,
            None => return tag,
        }
        tokens = tokens_of_tag(&tag, is_block).0;
    }
    tag
}

fn is_percent(tag: &str, token: &Token) -> bool {
    token.kind == Kind::Operator && &tag[token.start..token.end] == "%"
}

/// `'a' "b"` → `('a'~"b")`, keeping what lies between them (a line's end counts).
fn join_literals(tag: &str, tokens: &[Token]) -> String {
    let mut out = String::with_capacity(tag.len() + 8);
    let mut at = 0;
    let mut open = false;
    for (index, token) in tokens.iter().enumerate() {
        let next_is_text = tokens.get(index + 1).is_some_and(|next| next.kind == Kind::Text);
        out.push_str(&tag[at..token.start]);
        if token.kind == Kind::Text && next_is_text && !open {
            out.push('(');
            open = true;
        }
        out.push_str(&tag[token.start..token.end]);
        if open {
            out.push(if next_is_text { '~' } else { ')' });
            open = next_is_text;
        }
        at = token.end;
    }
    out.push_str(&tag[at..]);
    out
}

/// The escapes that the engine reads otherwise than Python: `\/`, `\a`, `\v` and `\U` with eight digits.
fn rewrite_literals(tag: &str, tokens: &[Token]) -> Option<String> {
    let mut out = String::with_capacity(tag.len() + 8);
    let mut at = 0;
    for token in
        tokens.iter().filter(|token| token.kind == Kind::Text && tag[token.start..token.end].contains('\\'))
    {
        out.push_str(&tag[at..token.start]);
        at = token.end;
        let mut rest = &tag[token.start..token.end];
        while let Some(place) = rest.find('\\') {
            out.push_str(&rest[..place]);
            let escape = &rest[place..];
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            let digits = escape.get(2..10).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let mut taken = length;
            match escape.as_bytes().get(1) {
                Some(b'/') => out.push_str("\\\\/"),
                Some(b'a') => out.push_str("\\x07"),
                Some(b'v') => out.push_str("\\x0b"),
                Some(b'U') if digits.and_then(char::from_u32).is_some_and(|c| c > '~') => {
                    out.extend(digits.and_then(char::from_u32));
                    taken = 10;
                }
                _ => out.push_str(&escape[..length]),
            }
            rest = &escape[taken..];
        }
        out.push_str(rest);
    }
    out.push_str(&tag[at..]);
    (out != tag).then_some(out)
}

/// `… a * b % c …` → `… f(a * b , c) …` for the leftmost `%`, whose operators to the left all bind as tightly.
fn rewrite_percent(tag: &str, tokens: &[Token], index: usize) -> Option<String> {
    let text = |index: usize| &tag[tokens[index].start..tokens[index].end];
    let mut depth = 0_usize;
    let mut left = index;
    while left > 0 {
        let candidate = left - 1;
        match text(candidate) {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth > 0 => depth -= 1,
            _ if depth == 0 && is_boundary(tag, tokens, candidate) => break,
            _ => {}
        }
        left = candidate;
    }
    let mut right = index + 1;
    while right < tokens.len() {
        match text(right) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth > 0 => depth -= 1,
            ")" | "]" | "}" => break,
            "*" | "/" | "//" | "%" if depth == 0 => break,
            "+" | "-" if depth == 0 && right == index + 1 => {}
            _ if depth == 0 && is_boundary(tag, tokens, right) => break,
            _ => {}
        }
        right += 1;
    }
    if left == index || right == index + 1 {
        return None;
    }
    let (first, percent, last) = (tokens[left].start, tokens[index], tokens[right - 1].end);
    Some(format!(
        "{}{PERCENT_FUNCTION}({},{}){}",
        &tag[..first],
        &tag[first..percent.start],
        &tag[percent.end..last],
        &tag[last..]
    ))
}

/// Whether the token binds less tightly than `%`, or begins the expression's surroundings.
fn is_boundary(tag: &str, tokens: &[Token], index: usize) -> bool {
    let text = &tag[tokens[index].start..tokens[index].end];
    match tokens[index].kind {
        Kind::Text => false,
        Kind::Operand => {
            let after_dot = index > 0 && &tag[tokens[index - 1].start..tokens[index - 1].end] == ".";
            !after_dot && is_keyword(text)
        }
        Kind::Operator => match text {
            "+" | "-" => index > 0 && ends_operand(tag, tokens, index - 1),
            "(" | "[" | "{" | "," | ":" | "=" | "==" | "!=" | "<" | ">" | "<=" | ">=" | "~" => true,
            _ => false,
        },
    }
}

fn ends_operand(tag: &str, tokens: &[Token], index: usize) -> bool {
    let text = &tag[tokens[index].start..tokens[index].end];
    match tokens[index].kind {
        Kind::Text => true,
        Kind::Operand => !is_keyword(text),
        Kind::Operator => matches!(text, ")" | "]" | "}"),
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "in" | "not"
            | "and"
            | "or"
            | "if"
            | "else"
            | "elif"
            | "is"
            | "set"
            | "for"
            | "recursive"
            | "with"
            | "call"
            | "filter"
            | "print"
            | "do"
            | "macro"
            | "block"
            | "include"
            | "import"
            | "extends"
            | "from"
            | "autoescape"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        assert_eq!(rewrite(source).replace(PERCENT_FUNCTION, "f"), expected, "source: {source}");
    }

    #[test]
    fn rewrites_only_what_the_engine_lacks() {
        check("a % b {{ a }} 100%", "a % b {{ a }} 100%");
        check("{%- generation -%}x{% endgeneration %}", "{%- with -%}x{% endwith %}");
        check("{{ a % b }}", "{{ f(a , b) }}");
        check("{{ 1 + a * b % c + d }}", "{{ 1 + f(a * b , c) + d }}");
        check("{{ a % b % c }}", "{{ f(f(a , b) , c) }}");
        check("{{ -a % -b }}", "{{ f(-a , -b) }}");
        check("{{ a - b % c }}", "{{ a - f(b , c) }}");
        check("{{ x(a % 2, y[b % 3]) }}", "{{ x(f(a , 2), y[f(b , 3)]) }}");
        check("{% if (a == 'u') != (loop.index0 % 2 == 0) %}", "{% if (a == 'u') != (f(loop.index0 , 2) == 0) %}");
        check("{% set x = '%s-%s' % (a, b) %}", "{% set x = f('%s-%s' , (a, b)) %}");
        check("{{ '%s' % a ~ 'x' }}", "{{ f('%s' , a) ~ 'x' }}");
        check("{{ a|length % 2 if b % 2 else c }}", "{{ f(a|length , 2) if f(b , 2) else c }}");
        check("{{ 'a' \"b\" 'c' }}", "{{ ('a'~ \"b\"~ 'c') }}");
        check("{% raw %}{{ a % b }}{% endraw %}{# a % b #}", "{% raw %}{{ a % b }}{% endraw %}{# a % b #}");
        check("{{ {'a': {'b': 1 % 2}} }}%", "{{ {'a': {'b': f(1 , 2)}} }}%");
        check("{{ '}}' % x", "{{ f('}}' , x)");
        check("{{ % }}{% % %}", "{{ % }}{% % %}");
        check("a\r\nb\rc", "a\nb\nc");
        check("{{ +5 - +a + (+b) }}", "{{  5 -  a + ( b) }}");
        check(r"{{ '\/\a\n\\/\U0001f340' }}\/", r"{{ '\\/\x07\n\\/🍀' }}\/");
    }
}

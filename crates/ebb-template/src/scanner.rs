//! Cuts a template into text, outputs and tags.

use crate::error::{Failure, Fault};

/// One piece of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'s> {
    Text { offset: usize, text: &'s str },
    Output { offset: usize, markup: &'s str, end: usize },
    Tag { offset: usize, name: &'s str, markup: &'s str },
}

/// Walks over a template, or over the lines of a `liquid` tag.
#[derive(Debug)]
pub(crate) struct Scanner<'s> {
    source: &'s str,
    at: usize,
    end: usize,
    trims_next: bool,
    is_lines: bool,
}

impl<'s> Scanner<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self { source, at: 0, end: source.len(), trims_next: false, is_lines: false }
    }

    /// Walks over the lines of a `liquid` tag whose markup starts at `offset` of `source`.
    pub(crate) fn lines(source: &'s str, offset: usize, markup: &str) -> Self {
        Self { source, at: offset, end: offset + markup.len(), trims_next: false, is_lines: true }
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..self.end).unwrap_or_default()
    }

    /// Returns the offset of a part of the source.
    pub(crate) fn offset_of(&self, part: &str) -> usize {
        part.as_ptr().addr().saturating_sub(self.source.as_ptr().addr())
    }

    pub(crate) fn source(&self) -> &'s str {
        self.source
    }

    pub(crate) fn next(&mut self) -> Result<Option<Piece<'s>>, Failure> {
        if self.is_lines {
            return Ok(self.next_line());
        }
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let opening = opening(rest);
        if opening == Some(0) {
            return self.next_tag().map(Some);
        }
        let length = opening.unwrap_or(rest.len());
        self.at += length;
        let mut text = rest.get(..length).unwrap_or_default();
        if std::mem::take(&mut self.trims_next) {
            text = text.trim_start();
        }
        if opening.is_some() && self.rest().as_bytes().get(2) == Some(&b'-') {
            text = text.trim_end();
        }
        Ok(Some(Piece::Text { offset: self.offset_of(text), text }))
    }

    fn next_line(&mut self) -> Option<Piece<'s>> {
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let line = rest.split('\n').next().unwrap_or_default();
            self.at += (line.len() + 1).min(rest.len());
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (name, markup) = tag_name(line);
            return Some(Piece::Tag { offset: self.offset_of(line), name, markup });
        }
    }

    fn next_tag(&mut self) -> Result<Piece<'s>, Failure> {
        let offset = self.at;
        let rest = self.rest();
        let is_output = rest.starts_with("{{");
        let closing = if is_output { "}}" } else { "%}" };
        let inner = rest.get(2..).unwrap_or_default();
        let inner = inner.strip_prefix('-').unwrap_or(inner);
        let (name, _) = tag_name(inner.trim_start());
        let quotes = is_output || !(name == "liquid" || name == "#" || name == "comment" || name == "doc");
        let Some(length) = closing_at(inner, closing, quotes) else {
            let opened = if is_output { "{{" } else { "{%" };
            return Err(Fault::new(format!("`{opened}` is not closed by `{closing}`")).at(offset));
        };
        self.at = self.offset_of(inner) + length + 2;
        let mut markup = inner.get(..length).unwrap_or_default();
        self.trims_next = markup.ends_with('-');
        markup = markup.strip_suffix('-').unwrap_or(markup);
        if is_output {
            return Ok(Piece::Output { offset, markup, end: self.at });
        }
        let (name, markup) = tag_name(markup.trim());
        Ok(Piece::Tag { offset, name, markup })
    }

    /// Skips to behind `{% end %}` and returns the text before it; with `nests`, inner pairs of `start` count.
    ///
    /// The text is as it stands there: `-` on the inner side of the tags trims nothing.
    pub(crate) fn verbatim(&mut self, start: &str, end: &str, nests: bool, offset: usize) -> Result<&'s str, Failure> {
        if self.is_lines {
            return self.skip_lines(start, end, nests, offset);
        }
        let begin = self.at;
        self.trims_next = false;
        let mut depth = 0_usize;
        while let Some(at) = self.rest().find("{%") {
            let tag_at = self.at + at;
            self.at = tag_at + 2;
            let inner = self.rest();
            let inner = inner.strip_prefix('-').unwrap_or(inner);
            let (name, _) = tag_name(inner.trim_start());
            if name == end && depth == 0 {
                let Some(length) = inner.find("%}") else { break };
                let tag = inner.get(..length).unwrap_or_default();
                if tag.contains("{%") {
                    continue;
                }
                self.trims_next = tag.ends_with('-');
                self.at = self.offset_of(inner) + length + 2;
                return Ok(self.source.get(begin..tag_at).unwrap_or_default());
            }
            if nests && name == start {
                depth += 1;
            } else if name == end {
                depth -= 1;
            } else if nests && name == "raw" {
                self.verbatim("raw", "endraw", false, offset)?;
            }
        }
        Err(not_closed(start, end, offset))
    }

    fn skip_lines(&mut self, start: &str, end: &str, nests: bool, offset: usize) -> Result<&'s str, Failure> {
        let mut depth = 0_usize;
        let begin = self.at;
        while let Some(Piece::Tag { name, offset, .. }) = self.next_line() {
            if name == end && depth == 0 {
                return Ok(self.source.get(begin..offset).unwrap_or_default());
            }
            if nests && name == start {
                depth += 1;
            } else if name == end {
                depth -= 1;
            }
        }
        Err(not_closed(start, end, offset))
    }
}

/// Says that a block has no end.
pub(crate) fn not_closed(start: &str, end: &str, offset: usize) -> Failure {
    Fault::new(format!("`{start}` is not closed by `{end}`")).at(offset)
}

fn opening(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find('{')?;
        if matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%')) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Finds the closing delimiter, not inside quotes; where a quote is never closed, inside it too.
fn closing_at(inner: &str, closing: &str, quotes: bool) -> Option<usize> {
    let first = inner.find(closing)?;
    if !quotes {
        return Some(first);
    }
    let mut at = 0;
    loop {
        let rest = inner.get(at..)?;
        let next = rest.find(['\'', '"', '}', '%'])?;
        let tail = rest.get(next..)?;
        if tail.starts_with(closing) {
            return Some(at + next);
        }
        at += next + 1;
        if let Some(quote) = tail.chars().next().filter(|character| matches!(character, '\'' | '"')) {
            match inner.get(at..)?.find(quote) {
                Some(length) => at += length + 1,
                None => return Some(first),
            }
        }
    }
}

/// Splits a tag into its name and the rest, trimmed.
fn tag_name(tag: &str) -> (&str, &str) {
    if let Some(rest) = tag.strip_prefix('#') {
        return (tag.get(..1).unwrap_or_default(), rest);
    }
    let length = tag.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(tag.len());
    let (name, rest) = tag.split_at(length);
    (name, rest.trim())
}

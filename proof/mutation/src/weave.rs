//! Puts each mutant into the source beside what it replaces, behind a switch: `(if crate::mutant::on(17) {a > b} else {a < b})`.
//!
//! What is woven in stands between `/*+17*/` and `/*-17*/`, so that an error of the compiler leads to the mutant that does not compile.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Mutant;

/// The module that the switches ask.
pub const SWITCH: &str = include_str!("switch.rs.txt");

/// The source of one file with these mutants in it.
pub fn weave(source: &str, mutants: &[&Mutant]) -> Result<String, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    let mut finder = Finder {
        wanted: HashMap::new(),
        edits: Vec::new(),
    };
    let lines = line_starts(source);
    for mutant in mutants {
        // cargo-mutants counts characters, the syntax tree bytes.
        let at = offset(source, &lines, mutant.line, mutant.column);
        if mutant.genre == "FnValue" {
            let text = format!(
                "if crate::mutant::on({}) {{ return {}; }}",
                mutant.id, mutant.replacement
            );
            finder.edits.push(Edit {
                range: at..at,
                mutants: vec![(mutant.id, String::new())],
                kind: Kind::Insert(text),
            });
        } else {
            finder.wanted.entry(at).or_default().push((*mutant).clone());
        }
    }
    finder.visit_file(&file);
    if let Some(lost) = finder.wanted.values().flatten().next() {
        return Err(format!("{} was not found in the syntax tree", lost.name));
    }
    let mut edits = finder.edits;
    edits.sort_by_key(|edit| {
        let insertion = matches!(edit.kind, Kind::Insert(_));
        let expression = matches!(edit.kind, Kind::Binary { .. } | Kind::Unary { .. });
        (
            edit.range.start,
            !insertion,
            Reverse(edit.range.end),
            expression,
        )
    });
    let woven = Woven {
        source,
        edits: &edits,
    };
    Ok(woven.render(0..source.len(), 0))
}

/// The mutants that the innermost switch around this byte of a woven source is for.
pub fn blamed(woven: &str, byte: usize) -> Option<Vec<u32>> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = 0;
    while let Some(found) = woven[rest..byte].find("/*") {
        let at = rest + found;
        rest = at + 2;
        match woven.as_bytes().get(at + 2) {
            Some(b'+') => {
                let end = at + woven[at..].find("*/").unwrap_or(0);
                if woven[at + 3..end]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b',')
                {
                    open.push(&woven[at + 3..end]);
                }
            }
            Some(b'-') => {
                open.pop();
            }
            _ => {}
        }
    }
    let ids = open.last()?.split(',').map(|id| id.parse().unwrap());
    Some(ids.collect())
}

/// The first mutant after this byte that leaves an arm of a match out.
pub fn next_arm(woven: &str, byte: usize) -> Option<u32> {
    let (_, after) = woven[byte..].split_once(" if !crate::mutant::on(")?;
    after.split_once(')')?.0.parse().ok()
}

fn line_starts(source: &str) -> Vec<usize> {
    let after_breaks = source.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_breaks).collect()
}

fn offset(source: &str, lines: &[usize], line: usize, column: usize) -> usize {
    let start = lines[line - 1];
    let of_line = &source[start..];
    let at = of_line.char_indices().nth(column - 1);
    start + at.map_or(of_line.len(), |(at, _)| at)
}

enum Kind {
    /// This text, at a place.
    Insert(String),
    Binary {
        left: Range<usize>,
        right: Range<usize>,
        assigns: bool,
    },
    /// An operator that is left out.
    Unary { operand: Range<usize> },
    /// A guard of a match arm; with these on, the arm is never taken.
    Guard { never: Vec<u32> },
    /// A field's value, taken from the rest instead.
    Field {
        instead: String,
        shorthand: Option<String>,
    },
}

struct Edit {
    range: Range<usize>,
    /// With what each puts in the place.
    mutants: Vec<(u32, String)>,
    kind: Kind,
}

struct Finder {
    /// By where they begin.
    wanted: HashMap<usize, Vec<Mutant>>,
    edits: Vec<Edit>,
}

impl Finder {
    fn take(&mut self, span: Span, genre: &str) -> Vec<(u32, String)> {
        let Some(here) = self.wanted.get_mut(&span.byte_range().start) else {
            return Vec::new();
        };
        let (taken, left): (Vec<_>, Vec<_>) =
            here.drain(..).partition(|mutant| mutant.genre == genre);
        *here = left;
        taken
            .into_iter()
            .map(|mutant| (mutant.id, mutant.replacement))
            .collect()
    }

    fn edit(&mut self, range: Range<usize>, mutants: Vec<(u32, String)>, kind: Kind) {
        self.edits.push(Edit {
            range,
            mutants,
            kind,
        });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let mutants = self.take(node.op.span(), "BinaryOperator");
        if !mutants.is_empty() {
            use syn::BinOp::*;
            let assigns = matches!(
                node.op,
                AddAssign(_)
                    | SubAssign(_)
                    | MulAssign(_)
                    | DivAssign(_)
                    | RemAssign(_)
                    | BitXorAssign(_)
                    | BitAndAssign(_)
                    | BitOrAssign(_)
                    | ShlAssign(_)
                    | ShrAssign(_)
            );
            let kind = Kind::Binary {
                left: node.left.span().byte_range(),
                right: node.right.span().byte_range(),
                assigns,
            };
            self.edit(node.span().byte_range(), mutants, kind);
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let mutants = self.take(node.op.span(), "UnaryOperator");
        if !mutants.is_empty() {
            let operand = node.expr.span().byte_range();
            self.edit(node.span().byte_range(), mutants, Kind::Unary { operand });
        }
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        let never: Vec<u32> = self
            .take(node.span(), "MatchArm")
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        match &node.guard {
            Some((_, guard)) => {
                let mutants = self.take(guard.span(), "MatchArmGuard");
                if !mutants.is_empty() || !never.is_empty() {
                    self.edit(guard.span().byte_range(), mutants, Kind::Guard { never });
                }
            }
            None => {
                for id in never {
                    let end = node.pat.span().byte_range().end;
                    let text = format!(" if !crate::mutant::on({id})");
                    self.edit(end..end, vec![(id, String::new())], Kind::Insert(text));
                }
            }
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        if let Some(rest) = &node.rest {
            let rest = rest.span().source_text().unwrap_or_default();
            for field in &node.fields {
                let mutants = self.take(field.span(), "StructField");
                if mutants.is_empty() {
                    continue;
                }
                let syn::Member::Named(name) = &field.member else {
                    continue;
                };
                let kind = Kind::Field {
                    instead: format!("({rest}).{name}"),
                    shorthand: field.colon_token.is_none().then(|| name.to_string()),
                };
                self.edit(field.expr.span().byte_range(), mutants, kind);
            }
        }
        visit::visit_expr_struct(self, node);
    }
}

struct Woven<'a> {
    source: &'a str,
    /// In the order of the source, what is outside before what is inside.
    edits: &'a [Edit],
}

impl Woven<'_> {
    /// This part of the source, with the edits from `next` on that lie in it.
    fn render(&self, range: Range<usize>, mut next: usize) -> String {
        let (mut text, mut at) = (String::new(), range.start);
        while let Some(edit) = self.edits.get(next) {
            next += 1;
            if edit.range.start < at || edit.range.end > range.end {
                continue;
            }
            text += &self.source[at..edit.range.start];
            text += &self.switched(edit, next);
            at = edit.range.end;
        }
        text + &self.source[at..range.end]
    }

    fn switched(&self, edit: &Edit, next: usize) -> String {
        let inside = |range: &Range<usize>| self.render(range.clone(), next);
        let choice = |id: u32, mutant: String| {
            format!("if crate::mutant::on({id}) {{/*+{id}*/{mutant}/*-{id}*/}} else ")
        };
        let mut text = String::new();
        let orig = match &edit.kind {
            Kind::Insert(inserted) => inserted.clone(),
            Kind::Binary {
                left,
                right,
                assigns,
            } => {
                let (l, r) = (inside(left), inside(right));
                let op = self.source[left.end..right.start].trim();
                let apply = |op: &str| match assigns {
                    true => format!("{l} {op} {r}"),
                    false => format!("({l}) {op} ({r})"),
                };
                for (id, op) in &edit.mutants {
                    text += &choice(*id, apply(op));
                }
                format!("{{{}}}", apply(op))
            }
            Kind::Unary { operand } => {
                for (id, _) in &edit.mutants {
                    text += &choice(*id, inside(operand));
                }
                let op = &self.source[edit.range.start..operand.start];
                format!("{{{op}({})}}", inside(operand))
            }
            Kind::Guard { never } => {
                for (id, value) in &edit.mutants {
                    text += &choice(*id, value.clone());
                }
                for id in never {
                    text += &choice(*id, "false".into());
                }
                format!("{{{}}}", inside(&edit.range))
            }
            Kind::Field { instead, shorthand } => {
                for (id, _) in &edit.mutants {
                    text += &choice(*id, instead.clone());
                }
                text = shorthand
                    .iter()
                    .map(|name| format!("{name}: "))
                    .collect::<String>()
                    + &text;
                format!("{{{}}}", inside(&edit.range))
            }
        };
        let mut ids: Vec<String> = edit.mutants.iter().map(|(id, _)| id.to_string()).collect();
        if let Kind::Guard { never } = &edit.kind {
            ids.extend(never.iter().map(u32::to_string));
        }
        let ids = ids.join(",");
        match &edit.kind {
            Kind::Insert(_) => format!("/*+{ids}*/{orig} /*-{ids}*/"),
            Kind::Field { .. } => format!("/*+{ids}*/{text}{orig}/*-{ids}*/"),
            _ => format!("/*+{ids}*/({text}{orig})/*-{ids}*/"),
        }
    }
}

#[cfg(test)]
mod tests;

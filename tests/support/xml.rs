//! A reader of XML for tests: strict about what it knows, and it knows little. What is not well-formed fails the test.

/// An element with what is in it.
#[derive(Debug)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// All text directly in it, entities resolved.
    pub text: String,
}

impl Element {
    #[track_caller]
    pub fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {:?}", self.attributes));
        &found.1
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        self.attribute(name).parse().unwrap()
    }

    pub fn is(&self, name: &str, class: &str) -> bool {
        let has = |(key, value): &(String, String)| key == "class" && value == class;
        self.name == name && self.attributes.iter().any(has)
    }

    /// This element and all below it.
    pub fn all(&self) -> Vec<&Element> {
        let mut all = vec![self];
        for child in &self.children {
            all.extend(child.all());
        }
        all
    }
}

/// Reads a document with one element at its root.
pub fn parse(text: &str) -> Element {
    // What XML 1.0 allows at all.
    for c in text.chars() {
        let allowed = matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(allowed, "{c:?} cannot stand in XML");
    }
    let mut rest = text;
    let root = element(&mut rest);
    assert_eq!(rest.trim(), "", "nothing comes after the root");
    root
}

fn element(rest: &mut &str) -> Element {
    let (tag, after) = rest.strip_prefix('<').unwrap().split_once('>').unwrap();
    *rest = after;
    let (tag, empty) = match tag.strip_suffix('/') {
        Some(tag) => (tag, true),
        None => (tag, false),
    };
    assert!(!tag.contains('<'), "{tag:?}");
    let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    let known = |c: char| c.is_ascii_lowercase();
    assert!(!name.is_empty() && name.chars().all(known), "{name:?}");
    let mut this = Element {
        name: name.to_owned(),
        attributes: Vec::new(),
        children: Vec::new(),
        text: String::new(),
    };
    while !attributes.trim().is_empty() {
        let (key, after) = attributes.trim_start().split_once("=\"").unwrap();
        let (value, after) = after.split_once('"').unwrap();
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(key.chars().all(known), "{key:?}");
        this.attributes.push((key.to_owned(), resolve(value)));
        attributes = after;
    }
    if empty {
        return this;
    }
    loop {
        let (text, _) = rest.split_once('<').expect("an end tag");
        this.text += &resolve(text);
        *rest = &rest[text.len()..];
        if let Some(end) = rest.strip_prefix("</") {
            let (name, after) = end.split_once('>').unwrap();
            assert_eq!(name, this.name, "elements are nested");
            *rest = after;
            return this;
        }
        this.children.push(element(rest));
    }
}

fn resolve(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, after) = after.split_once(';').expect("an entity ends");
        out += before;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            _ => panic!("unknown entity {entity:?}"),
        });
        rest = after;
    }
    assert!(!rest.contains('>'), "{rest:?}");
    out + rest
}

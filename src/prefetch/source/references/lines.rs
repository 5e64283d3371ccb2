use super::mapping::Mapping;

/// What a line names, as it is written there; or why that can't be told.
type Found = Result<String, String>;

/// What was found, and on which line, from 1.
pub(super) fn read(text: &str) -> Vec<(usize, Found)> {
    let mut reader = Reader {
        shape: Shape::Unknown,
        mapping: Mapping::default(),
        found: Vec::new(),
        list: None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, without_comment(line));
    }
    reader.end()
}

/// What kind of file it is, by its first line that says something.
enum Shape {
    Unknown,
    /// A reference in each line.
    List,
    /// A table with a head, as `docker images`, `crictl images` and others print it.
    Table(Columns),
    /// Mappings, of which few lines name an image: YAML, or JSON over several lines.
    Mappings,
}

/// Where a table has what.
struct Columns {
    repository: usize,
    tag: Option<usize>,
    digest: Option<usize>,
}

struct Reader {
    shape: Shape,
    mapping: Mapping,
    found: Vec<(usize, Found)>,
    /// How far the key `images:` is indented, where its list is being read.
    list: Option<usize>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let words = line.trim();
        if words.is_empty() {
            return;
        }
        if let Shape::Unknown = self.shape {
            self.shape = shape(words);
            if let Shape::Table(_) = self.shape {
                return;
            }
        }
        let found = match &self.shape {
            Shape::Table(columns) => columns.read(words),
            Shape::List => match key_of(words) {
                Some(_) => return self.mapped(number, line),
                None => listed(words),
            },
            Shape::Mappings | Shape::Unknown => return self.mapped(number, line),
        };
        self.found.extend(found.map(|found| (number, found)));
    }

    fn mapped(&mut self, number: usize, line: &str) {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim();
        if words == "---" {
            self.found.extend(self.mapping.close());
            return;
        }
        let item = words.strip_prefix("- ").map(str::trim_start);
        let Some((key, value)) = key_of(item.unwrap_or(words)) else {
            if let (Some(item), Some(list)) = (item, self.list)
                && indent >= list
                && !item.starts_with(['{', '['])
            {
                self.found.push((number, Ok(unquoted(item).to_owned())));
            }
            return;
        };
        // The key of an item stands behind its dash.
        let own = indent + (words.len() - item.unwrap_or(words).len());
        self.list = match self.list {
            _ if key == "images" && value.is_empty() => Some(indent),
            Some(list) if indent > list => Some(list),
            _ => None,
        };
        self.found.extend(self.mapping.key(own, item.is_some()));
        match key {
            "image" => self.found.extend(image(value).map(|found| (number, found))),
            _ => self.mapping.value(number, key, unquoted(value)),
        }
    }

    fn end(mut self) -> Vec<(usize, Found)> {
        self.found.extend(self.mapping.close());
        self.found.sort_by_key(|(number, _)| *number);
        self.found
    }
}

fn shape(words: &str) -> Shape {
    let columns: Vec<&str> = words.split_whitespace().collect();
    let place = |name: &str| columns.iter().position(|column| *column == name);
    match columns[0] {
        "REPOSITORY" | "IMAGE" | "REF" => Shape::Table(Columns {
            repository: 0,
            tag: place("TAG").filter(|tag| *tag == 1),
            digest: place("DIGEST").filter(|digest| *digest == 2 && columns[0] == "REPOSITORY"),
        }),
        "---" | "{" | "[" => Shape::Mappings,
        "image:" => Shape::List,
        _ if key_of(words.strip_prefix("- ").unwrap_or(words)).is_some() => Shape::Mappings,
        _ => Shape::List,
    }
}

impl Columns {
    /// `<none>` is what docker prints for what has no name.
    fn read(&self, words: &str) -> Option<Found> {
        let columns: Vec<&str> = words.split_whitespace().collect();
        let column = |index: usize| columns.get(index).copied().filter(|it| *it != "<none>");
        let repository = column(self.repository)?;
        let of_tag = self.tag.map(column);
        let of_digest = self.digest.and_then(column);
        match (of_tag, of_digest) {
            (None, _) => Some(Ok(repository.to_owned())),
            (Some(Some(tag)), _) => Some(Ok(format!("{repository}:{tag}"))),
            (Some(None), Some(digest)) => Some(Ok(format!("{repository}@{digest}"))),
            (Some(None), None) => None,
        }
    }
}

/// A reference by itself, or a row of a table without its head: `nginx  1.27  0123456789ab ...`.
fn listed(words: &str) -> Option<Found> {
    let words = words.strip_prefix("- ").unwrap_or(words);
    let columns: Vec<&str> = words.split_whitespace().collect();
    match &columns[..] {
        [] => None,
        [one] => {
            let one = unquoted(one);
            (!one.contains("<none>")).then(|| Ok(one.to_owned()))
        }
        [repository, tag, id, ..] if is_id(id) => match (*repository, *tag) {
            ("<none>", _) | (_, "<none>") => None,
            (repository, tag) => Some(Ok(format!("{repository}:{tag}"))),
        },
        _ => Some(Err(
            "expected one image, such as docker.io/library/nginx:1.27".to_owned(),
        )),
    }
}

fn is_id(text: &str) -> bool {
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    text.len() >= 12 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The value of `image:`, where it has one here.
fn image(value: &str) -> Option<Found> {
    let value = unquoted(value);
    match value {
        "" | "|" | ">" | "null" | "~" => None,
        _ if value.contains("{{") => Some(Err(template())),
        _ if value.starts_with(['{', '[', '&', '*', '$']) => Some(Err(format!(
            "'{value}' can't be read line by line; write out image: REGISTRY/REPOSITORY:TAG"
        ))),
        _ => Some(Ok(value.to_owned())),
    }
}

/// What is said of a line that is no manifest yet.
pub(super) fn template() -> String {
    "this is a template; name the values, or what `helm template` makes of it".to_owned()
}

/// A line of a mapping, as key and value: `image: nginx`, `"image": "nginx",`. In a reference no space
/// follows a colon.
fn key_of(words: &str) -> Option<(&str, &str)> {
    let (key, value) = match words.split_once(": ") {
        Some((key, value)) => (key, value.trim()),
        None => (words.strip_suffix(':')?, ""),
    };
    let key = unquoted(key.trim());
    let is_key = |c: char| c.is_alphanumeric() || "_-./$ ".contains(c);
    (!key.is_empty() && key.chars().all(is_key)).then_some((key, value))
}

/// Without the quotes, and the comma of JSON behind them.
fn unquoted(text: &str) -> &str {
    let text = text.trim().trim_end_matches(',').trim_end();
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote);
        if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(quote)) {
            return inner.trim();
        }
    }
    text
}

/// A `#` begins a comment at the start of a line, and behind a space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    let mut quote = None;
    for (at, character) in line.char_indices() {
        match (character, quote) {
            ('#', None) if before.is_whitespace() => return &line[..at],
            ('"' | '\'', None) => quote = Some(character),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        before = character;
    }
    line
}

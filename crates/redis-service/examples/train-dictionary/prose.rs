//! Text like the answers of language models, made from `prose.txt`: what follows a word there may follow it here, so
//! that the trainer meets frequent phrases often and no sentence twice. A word that occurs there only once stands for
//! all the words that other people use, and becomes another one each time.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::vary::Vary;

static CHAIN: LazyLock<Chain> = LazyLock::new(|| Chain::of(include_str!("prose.txt")));

struct Chain {
    starts: Vec<&'static str>,
    next: HashMap<&'static str, Vec<&'static str>>,
    uses: HashMap<&'static str, usize>,
}

impl Chain {
    fn of(text: &'static str) -> Self {
        let mut chain = Self { starts: Vec::new(), next: HashMap::new(), uses: HashMap::new() };
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            chain.starts.extend(words.first());
            for word in &words {
                *chain.uses.entry(bare(word)).or_default() += 1;
            }
            for pair in words.windows(2) {
                chain.next.entry(pair[0]).or_default().push(pair[1]);
            }
        }
        chain
    }

    fn sentence(&self, vary: &mut Vary) -> String {
        let mut word = vary.pick(&self.starts);
        let mut out = self.word(word, vary);
        for at in 0..40 {
            let Some(next) = self.next.get(word) else { break };
            word = vary.pick(next);
            out.push(' ');
            out.push_str(&self.word(word, vary));
            if at > 5 && word.ends_with(['.', '!', '?']) {
                break;
            }
        }
        out
    }

    fn word(&self, word: &str, vary: &mut Vary) -> String {
        let bare = bare(word);
        if bare.len() < 4 || self.uses.get(bare).is_some_and(|uses| *uses > 1) {
            return word.to_owned();
        }
        word.replace(bare, &unheard(vary))
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// A word that nobody has used before, with an ending that many have.
fn unheard(vary: &mut Vary) -> String {
    let mut out = String::new();
    for _ in 0..vary.between(1, 3) {
        out.push_str(vary.pick(&[
            "b", "c", "ch", "d", "f", "g", "h", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v", "w",
        ]));
        out.push_str(vary.pick(&["a", "e", "i", "o", "u", "ea", "ai", "ou", "er", "in", "an", "on"]));
    }
    out + vary.pick(&[
        "", "", "s", "ed", "ing", "er", "tion", "ment", "ly", "al", "able", "ity", "ness", "ation", "ive",
        "ous", "ure", "ence",
    ])
}

/// A sentence.
pub(crate) fn sentence(vary: &mut Vary) -> String {
    CHAIN.sentence(vary)
}

/// Some words, as of a title.
pub(crate) fn title(vary: &mut Vary) -> String {
    let count = vary.between(2, 6);
    let sentence = sentence(vary);
    let words: Vec<_> = sentence.split(' ').take(count).collect();
    words.join(" ").trim_end_matches(['.', ',', ':']).to_owned()
}

/// Sentences of about so many bytes, as one paragraph.
pub(crate) fn paragraph(vary: &mut Vary, bytes: usize) -> String {
    let mut out = sentence(vary);
    while out.len() < bytes {
        out.push(' ');
        out.push_str(&sentence(vary));
    }
    out
}

/// An answer: paragraphs, lists, headings or code in Markdown, of about so many bytes.
pub(crate) fn answer(vary: &mut Vary, bytes: usize) -> String {
    let mut out = paragraph(vary, bytes.min(120));
    while out.len() < bytes {
        out.push_str("\n\n");
        match vary.below(8) {
            0 => {
                for number in 1..=vary.between(3, 6) {
                    let (head, tail) = (title(vary), sentence(vary));
                    out.push_str(&format!("{number}. **{head}**: {tail}\n"));
                }
            }
            1 => {
                for _ in 0..vary.between(3, 6) {
                    out.push_str(&format!("- {}\n", sentence(vary)));
                }
            }
            2 => out.push_str(&format!("### {}\n\n{}", title(vary), paragraph(vary, 200))),
            3 => out.push_str(&format!(
                "- **{}:** {}\n- **{}:** {}",
                title(vary),
                sentence(vary),
                title(vary),
                sentence(vary)
            )),
            4 => out.push_str(vary.pick(CODE)),
            _ => out.push_str(&paragraph(vary, 240)),
        }
    }
    out.trim_end().to_owned()
}

const CODE: &[&str] = &[
    "```python\nimport os\nimport json\n\ndef main():\n    with open(path, \"r\") as f:\n        data = json.load(f)\n    for item in data:\n        print(item[\"name\"])\n    return result\n\nif __name__ == \"__main__\":\n    main()\n```",
    "```python\nfrom typing import List, Optional\n\nclass Node:\n    def __init__(self, value: int):\n        self.value = value\n        self.next = None\n\n    def get(self, key: str) -> Optional[str]:\n        if key not in self.data:\n            raise ValueError(f\"unknown {key}\")\n        return self.data[key]\n```",
    "```javascript\nconst express = require('express');\nconst app = express();\n\napp.get('/', async (req, res) => {\n  const result = await fetch(url);\n  const data = await result.json();\n  res.json({ message: 'Hello, World!' });\n});\n\napp.listen(3000, () => {\n  console.log('Server is running on port 3000');\n});\n```",
    "```typescript\nimport { useState, useEffect } from 'react';\n\nexport default function App() {\n  const [items, setItems] = useState<string[]>([]);\n  useEffect(() => {\n    return () => clearInterval(timer);\n  }, []);\n  return <div className=\"container\">{items.map(item => <p key={item}>{item}</p>)}</div>;\n}\n```",
    "```bash\nnpm install\nnpm run build\ndocker run -d -p 8080:80 --name app\npip install -r requirements.txt\ngit commit -m \"fix\"\nexport OPENAI_API_KEY=\n```",
    "```sql\nSELECT id, name, COUNT(*) AS total\nFROM users\nJOIN orders ON orders.user_id = users.id\nWHERE created_at > '2024-01-01'\nGROUP BY id\nORDER BY total DESC\nLIMIT 10;\n```",
    "```json\n{\n  \"name\": \"example\",\n  \"version\": \"1.0.0\",\n  \"description\": \"\",\n  \"type\": \"object\"\n}\n```",
    "| Name | Description | Value |\n|------|-------------|-------|\n| **Model** | The name of the model | `string` |\n| **Temperature** | Between 0 and 1 | `0.7` |",
];

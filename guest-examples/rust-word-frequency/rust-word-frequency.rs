// Safe Rust out of an unmodified compiler: closures, trait objects, a hash map with random seeds, strings. It reads
// standard input to its end and prints the letters and words that occur most often.
use std::collections::HashMap;
use std::io::Read;

trait Tally {
    fn title(&self) -> &'static str;
    fn add(&mut self, text: &str);
    fn ranked(&self) -> Vec<(String, usize)>;
}

struct Counter {
    title: &'static str,
    split: fn(&str) -> Vec<String>,
    counts: HashMap<String, usize>,
}

impl Tally for Counter {
    fn title(&self) -> &'static str {
        self.title
    }

    fn add(&mut self, text: &str) {
        for item in (self.split)(text) {
            *self.counts.entry(item).or_default() += 1;
        }
    }

    fn ranked(&self) -> Vec<(String, usize)> {
        let mut ranked: Vec<_> = self.counts.iter().map(|(item, count)| (item.clone(), *count)).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranked
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn letters(text: &str) -> Vec<String> {
    text.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase().to_string()).collect()
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(1, |text| text.parse().expect("a number of rounds"));
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text on standard input");
    let mut tallies: Vec<Box<dyn Tally>> = vec![
        Box::new(Counter { title: "words", split: words, counts: HashMap::new() }),
        Box::new(Counter { title: "letters", split: letters, counts: HashMap::new() }),
    ];
    for _ in 0..rounds {
        for tally in tallies.iter_mut() {
            text.lines().for_each(|line| tally.add(line));
        }
    }
    for tally in &tallies {
        println!("{}:", tally.title());
        for (item, count) in tally.ranked().iter().take(5) {
            println!("{:>8} {}", count, item);
        }
    }
}

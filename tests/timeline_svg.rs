//! The picture of a shutdown as SVG shows what the report says, is a valid document whatever names hold, and is bounded.

mod support;
#[path = "support/xml.rs"]
#[allow(dead_code, unreachable_pub)]
mod xml;

use std::time::Duration;

use sundown::{CallbackFault, ShutdownReport, Supervisor};
use support::Gate;
use xml::{parse, Element};

/// Where bars begin, and how long the longest is.
const LEFT: f64 = 260.0;
const WIDTH: f64 = 550.0;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn obedient(supervisor: &Supervisor, name: &str) {
    let worker = supervisor.worker().name(name.into());
    worker.spawn_with(|stop| stop.wait()).unwrap();
}

/// One row of the picture.
struct Row {
    name: String,
    /// What is shown when one points at it.
    tooltip: String,
    figures: String,
    class: String,
    /// Class, and from where to where, as parts of the axis.
    bars: Vec<(String, f64, f64)>,
}

impl Row {
    #[track_caller]
    fn bar(&self, class: &str) -> (f64, f64) {
        let found = self.bars.iter().find(|bar| bar.0 == class);
        let (_, from, to) = found.unwrap_or_else(|| panic!("no {class} in {:?}", self.bars));
        (*from, *to)
    }

    fn is_critical(&self) -> bool {
        self.bars.iter().any(|bar| bar.0 == "path")
    }
}

fn bars(group: &Element) -> Vec<(String, f64, f64)> {
    let rects = group.children.iter().filter(|child| child.name == "rect");
    let bar = |rect: &Element| {
        let from = (rect.number("x") - LEFT) / WIDTH;
        let to = from + rect.number("width") / WIDTH;
        (rect.attribute("class").to_owned(), from, to)
    };
    rects.map(bar).collect()
}

fn rows(picture: &Element) -> Vec<Row> {
    let titled = |group: &&Element| {
        group.name == "g" && group.children.first().is_some_and(|c| c.name == "title")
    };
    let row = |group: &Element| Row {
        name: group.children[1].children[0].text.clone(),
        tooltip: group.children[0].text.clone(),
        figures: group.children.last().unwrap().text.clone(),
        class: group.attribute("class").to_owned(),
        bars: bars(group),
    };
    picture.children.iter().filter(titled).map(row).collect()
}

/// The text of the whole picture, one element a line.
fn words(picture: &Element) -> String {
    let texts = picture.all().into_iter();
    texts
        .filter(|element| element.name == "text")
        .map(|element| element.text.clone() + "\n")
        .collect()
}

/// A child of the root.
#[track_caller]
fn part<'a>(picture: &'a Element, name: &str) -> &'a Element {
    picture.children.iter().find(|c| c.name == name).unwrap()
}

#[test]
fn it_is_a_document_that_can_be_read_aloud() {
    let supervisor = Supervisor::new();
    obedient(&supervisor, "reader");
    let svg = supervisor.shutdown().to_svg();
    let picture = parse(&svg);
    assert_eq!(picture.name, "svg");
    assert_eq!(picture.attribute("role"), "img");
    assert_eq!(picture.attribute("xmlns"), "http://www.w3.org/2000/svg");
    let title = &part(&picture, "title").text;
    assert!(
        title.starts_with("shutdown after a request took"),
        "{title}"
    );
    assert_eq!(
        picture.children[0].name, "title",
        "where readers look for it"
    );
    assert!(part(&picture, "desc")
        .text
        .starts_with("A bar for each entry"));
    // Text that can be selected, searched and translated; nothing that is loaded or run.
    for element in picture.all() {
        let known = ["svg", "title", "desc", "style", "rect", "line", "text", "g"];
        assert!(known.contains(&&*element.name), "{element:?}");
        let quiet = |(key, _): &(String, String)| !key.starts_with("on") && key != "href";
        assert!(element.attributes.iter().all(quiet), "{element:?}");
    }
    let style = &part(&picture, "style").text;
    assert!(
        style.contains("@media (prefers-color-scheme:dark)"),
        "{style}"
    );
    for rule in style.split('}').filter(|rule| !rule.is_empty()) {
        let selector = rule.rsplit_once('{').unwrap().0;
        let selector = selector.rsplit('{').next().unwrap();
        let ours = |part: &str| part.starts_with(".sundown-timeline");
        assert!(
            selector.split(',').all(ours),
            "styles nothing of the page's: {rule}"
        );
    }
}

#[test]
fn bars_stand_where_the_report_says() {
    let supervisor = Supervisor::new();
    supervisor.on_exit("last", || std::thread::sleep(ms(20)));
    let slow = supervisor.worker().name("slow".into());
    let slow = slow.on_terminate(|| std::thread::sleep(ms(30)));
    slow.spawn_with(|stop| {
        stop.wait();
        std::thread::sleep(ms(60));
    })
    .unwrap();
    supervisor.on_shutdown("hook", || std::thread::sleep(ms(40)));
    obedient(&supervisor.child("tier"), "inside");

    let report = supervisor.shutdown();
    let rows = rows(&parse(&report.to_svg()));

    assert_eq!(rows.len(), report.entries().len());
    let total = report.elapsed().as_secs_f64();
    for (row, entry) in rows.iter().zip(report.entries()) {
        assert_eq!(row.name, entry.name().unwrap());
        let (told, waited) = (entry.told().as_secs_f64(), entry.waited().as_secs_f64());
        let callback = entry.callback().unwrap_or_default().as_secs_f64();
        let close = |bar: (f64, f64), to: f64| {
            // A hundredth of a pixel, or the shortest bar that can be seen.
            let tolerance = 0.02 / WIDTH;
            let shortest = 2.0 / WIDTH;
            assert!(
                (bar.0 - told / total).abs() < tolerance + shortest,
                "{}: {bar:?}",
                row.name
            );
            let short = (bar.1 - bar.0 - shortest).abs() < tolerance;
            assert!(
                short || (bar.1 - to / total).abs() < tolerance,
                "{}: {bar:?}",
                row.name
            );
        };
        close(row.bar("join"), told + waited.max(callback));
        match entry.callback() {
            Some(_) => close(row.bar("callback"), told + callback),
            None => assert!(row.bars.iter().all(|bar| bar.0 != "callback")),
        }
    }
    let hook = rows.iter().find(|row| row.name == "last").unwrap();
    assert!(
        hook.is_critical(),
        "the end of the shutdown was an on_exit hook"
    );
    assert!(hook.figures.starts_with("finished "), "{}", hook.figures);
}

#[test]
fn the_critical_path_covers_the_shutdown() {
    let supervisor = Supervisor::new();
    let slow = supervisor.worker().name("slow".into());
    slow.spawn_with(|stop| {
        stop.wait();
        std::thread::sleep(ms(200));
    })
    .unwrap();
    supervisor.on_shutdown("hook", || std::thread::sleep(ms(100)));
    supervisor.on_exit("exit", || std::thread::sleep(ms(50)));
    let report = supervisor.shutdown();
    let picture = parse(&report.to_svg());
    let rows = rows(&picture);
    let names: Vec<_> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["hook", "slow", "exit"]);
    let covered: f64 = rows
        .iter()
        .map(|row| row.bar("path"))
        .map(|(from, to)| to - from)
        .sum();
    // What is left is the time that starting threads took.
    assert!(covered > 0.5 && covered < 1.02, "{covered}");
    let words = words(&picture);
    let path = words
        .lines()
        .find(|line| line.starts_with("critical path: "));
    let path = path.unwrap_or_else(|| panic!("{words}"));
    let places = ["hook (", "slow (", "exit ("].map(|name| path.find(name).unwrap());
    assert!(places[0] < places[1] && places[1] < places[2], "{path}");
}

#[test]
fn stragglers_are_red_and_named() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(200)).build();
    obedient(&supervisor, "obedient");
    let stuck = supervisor.worker().name("stuck".into());
    stuck.spawn(gate.passer()).unwrap();
    let hangs = supervisor.worker().name("hangs".into());
    hangs
        .on_terminate(gate.passer())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let broken = supervisor.worker().name("broken".into());
    broken
        .spawn_with(|stop| {
            stop.wait();
            panic!("out of <order>");
        })
        .unwrap();

    let report = supervisor.shutdown();
    let picture = parse(&report.to_svg());
    let rows = rows(&picture);

    let class = |name: &str| &*rows.iter().find(|row| row.name == name).unwrap().class;
    assert_eq!(class("stuck"), "stuck");
    assert_eq!(class("hangs"), "stuck");
    assert_eq!(class("broken"), "wrong");
    assert_eq!(class("obedient"), "fine");
    for row in rows.iter().filter(|row| row.class == "stuck") {
        assert!(row.figures.starts_with("STUCK "), "{}", row.figures);
    }
    let hung = report.entries().iter().find(|e| e.name() == Some("hangs"));
    assert_eq!(hung.unwrap().callback_fault(), Some(&CallbackFault::Hung));
    let hangs = rows.iter().find(|row| row.name == "hangs").unwrap();
    assert!(hangs.bar("callback").1 > 0.99, "it hangs to the end");
    assert!(
        hangs.tooltip.contains("did not return"),
        "{}",
        hangs.tooltip
    );
    let broken = rows.iter().find(|row| row.name == "broken").unwrap();
    assert!(
        broken.tooltip.contains("out of <order>"),
        "{}",
        broken.tooltip
    );
    let desc = &part(&picture, "desc").text;
    assert!(
        desc.contains("Still running when their time was up: "),
        "{desc}"
    );
    assert!(desc.contains("stuck") && desc.contains("hangs"), "{desc}");
    assert!(part(&picture, "title").text.ends_with("2 STUCK"));
}

#[test]
fn a_straggler_that_was_given_up_early_is_not_what_took_so_long() {
    let gate = Gate::new();
    let supervisor = Supervisor::new();
    let slow = supervisor.worker().name("slow".into());
    slow.spawn_with(|stop| {
        stop.wait();
        std::thread::sleep(ms(300));
    })
    .unwrap();
    let stuck = supervisor.worker().name("stuck".into()).grace(ms(50));
    stuck.spawn(gate.passer()).unwrap();
    let report = supervisor.shutdown();
    let stuck = report.stragglers()[0];
    assert!(stuck.waited() >= ms(50), "{report}");
    // Not until the report was made, but until its grace was over; on whatever machine, to the moment.
    assert!(stuck.waited() < ms(51), "{report}");
    let rows = rows(&parse(&report.to_svg()));
    let critical: Vec<_> = rows.iter().filter(|row| row.is_critical()).collect();
    assert_eq!(critical.len(), 1);
    assert_eq!(critical[0].name, "slow");
}

/// Names that are out for trouble.
const HOSTILE: [&str; 8] = [
    "</text></svg><script>alert(1)</script>",
    "<![CDATA[ ]]> <!-- --> <?xml ?> <!DOCTYPE a [<!ENTITY b \"c\">]>",
    "&amp; &#x3c; &lol; \" ' \" onload='alert(1)'",
    "\u{1b}[2J\u{7}\r\n\t\u{0b}\u{9b}31m",
    "\u{fffe}\u{ffff}\u{feff}",
    "\u{202e}drawkcab\u{2066}\u{61c}",
    "}</style><style>*{display:none}",
    "",
];

/// What the same report looks like with these names.
fn named(names: &[String]) -> ShutdownReport {
    let supervisor = Supervisor::new();
    for name in names {
        let (hook, message) = (name.clone(), name.clone());
        supervisor.on_exit(hook, move || panic!("{message}"));
        obedient(&supervisor.child(name.clone()), &name.replace('\0', ""));
    }
    supervisor.shutdown()
}

#[test]
fn no_name_gets_out_of_its_place() {
    let shape = |names: &[String]| {
        let svg = named(names).to_svg();
        let picture = parse(&svg);
        let elements = picture.all().into_iter();
        let shape: Vec<String> = elements
            // Whether a row is on the critical path is a matter of microseconds here.
            .filter(|element| !element.is("rect", "path"))
            .map(|element| element.name.clone())
            .collect();
        (svg, shape)
    };
    let plain: Vec<String> = HOSTILE.iter().map(|_| "plain".to_owned()).collect();
    let hostile: Vec<String> = HOSTILE.iter().map(|name| (*name).to_owned()).collect();
    let (_, wanted) = shape(&plain);
    let (svg, found) = shape(&hostile);
    // Grid lines depend on how long it took.
    let count = |shape: &[String], name: &str| shape.iter().filter(|n| *n == name).count();
    for name in ["svg", "g", "title", "desc", "style", "rect"] {
        assert_eq!(count(&found, name), count(&wanted, name), "{name}");
    }
    assert!(found.iter().all(|name| wanted.contains(name)), "{found:?}");
    assert!(
        !svg.contains("<script") && svg.contains("&lt;script&gt;"),
        "{svg}"
    );
    assert!(
        !svg.contains(|c: char| c.is_control() && c != '\n'),
        "{svg:?}"
    );
    assert!(
        !svg.contains(['\u{202e}', '\u{2066}', '\u{61c}']),
        "{svg:?}"
    );
}

#[test]
fn a_name_of_ten_thousand_characters_is_cut() {
    for letter in ["a", "日", "\u{301}", "<", "\u{1f600}"] {
        let name = letter.repeat(10_000);
        let svg = named(std::slice::from_ref(&name)).to_svg();
        let rows = rows(&parse(&svg));
        assert_eq!(rows.len(), 3);
        for row in &rows {
            assert!(row.name.chars().count() <= 30, "{}", row.name);
            assert!(row.tooltip.chars().count() <= 300, "{}", row.tooltip);
        }
        assert!(svg.len() < 16_000, "{letter:?}: {}", svg.len());
        if letter != "\u{301}" {
            assert!(rows[0].name.ends_with('…'), "{}", rows[0].name);
        }
    }
}

#[test]
fn the_name_in_a_cause_is_bounded_and_escaped_too() {
    let supervisor = Supervisor::new();
    let name = "<b>&".repeat(5_000);
    let worker = supervisor.worker().name(name).critical();
    worker.spawn(|| ()).unwrap();
    supervisor.wait_for_shutdown();
    let svg = supervisor.shutdown().to_svg();
    let title = part(&parse(&svg), "title").text.clone();
    assert!(title.contains("critical worker <b>&<b>&"), "{title}");
    assert!(svg.len() < 8_000, "{}", svg.len());
}

#[test]
fn five_thousand_workers_make_a_bounded_picture_that_says_what_it_leaves_out() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(support::PATIENCE).build();
    for n in 0..5_000 {
        let worker = supervisor.worker().name(format!("worker {n}"));
        let worker = worker.stack_size(64 * 1024);
        match n {
            1_000 | 4_000 => {
                let worker = worker.grace(ms(50));
                worker.spawn(gate.passer()).unwrap();
            }
            2_500 => {
                let broken = |stop: sundown::StopToken| {
                    stop.wait();
                    panic!("broken");
                };
                worker.spawn_with(broken).unwrap();
            }
            _ => {
                worker.spawn_with(|stop| stop.wait()).unwrap();
            }
        }
    }
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 5_000);
    assert_eq!(report.stragglers().len(), 2, "{report}");

    let svg = report.to_svg();
    let picture = parse(&svg);
    let rows = rows(&picture);
    assert_eq!(rows.len(), 100);
    assert!(svg.len() < 100_000, "{}", svg.len());
    assert!(picture.number("height") < 2_500.0);
    let shown = |name: &str| rows.iter().any(|row| row.name == name);
    assert!(shown("worker 1000") && shown("worker 4000") && shown("worker 2500"));
    assert!(
        words(&picture).contains("and 4900 more\n"),
        "{}",
        words(&picture)
    );
    assert!(words(&picture).contains("all fine\n"));
    let desc = &part(&picture, "desc").text;
    assert!(
        desc.contains("the 100 most telling entries, and 4900 more"),
        "{desc}"
    );
    // Those that are shown are in the order of the report.
    let numbers: Vec<u32> = rows
        .iter()
        .map(|row| row.name["worker ".len()..].parse().unwrap())
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first: {numbers:?}"
    );
}

#[test]
fn what_is_left_out_is_not_called_fine_when_it_is_not() {
    let supervisor = Supervisor::new();
    for n in 0..150 {
        supervisor.on_shutdown(format!("hook {n}"), || panic!("no"));
    }
    let picture = parse(&supervisor.shutdown().to_svg());
    assert!(
        words(&picture).contains("50 failed\n"),
        "{}",
        words(&picture)
    );
}

#[test]
fn an_empty_shutdown_and_one_of_one_entry_are_pictures_too() {
    let picture = parse(&Supervisor::new().shutdown().to_svg());
    assert!(rows(&picture).is_empty());
    assert!(words(&picture).contains("nothing was registered\n"));

    let supervisor = Supervisor::new();
    obedient(&supervisor, "only");
    let picture = parse(&supervisor.shutdown().to_svg());
    let rows = rows(&picture);
    assert_eq!(rows.len(), 1);
    assert!(part(&picture, "title").text.contains("1 entry"));
    // Nothing sticks out.
    for element in picture.all().iter().filter(|e| e.name == "rect") {
        let x = element.attributes.iter().find(|(key, _)| key == "x");
        let x: f64 = x.map_or(0.0, |(_, x)| x.parse().unwrap());
        assert!(
            x >= 0.0 && x + element.number("width") <= 960.0,
            "{element:?}"
        );
    }
}

#[test]
fn one_without_a_name_is_known_by_where_it_was_spawned() {
    let supervisor = Supervisor::new();
    let line = line!() + 1;
    supervisor.spawn(|| sundown::stop_token().wait());
    let rows = rows(&parse(&supervisor.shutdown().to_svg()));
    assert_eq!(rows[0].name, format!("timeline_svg.rs:{line}"));
}

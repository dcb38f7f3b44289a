//! The program and its libraries as they are loaded: from `/proc/self/maps` and their files, without the loader and its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;

use backtrace::SymbolName;
use framehop::x86_64::UnwinderX86_64;
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};

/// What is loaded where.
pub(super) struct Modules {
    files: Vec<Loaded>,
    /// Everything that can be executed, also what is of no file.
    code: Vec<Range<u64>>,
}

struct Loaded {
    path: String,
    /// All of its addresses.
    range: Range<u64>,
    /// Those of its code.
    code: Range<u64>,
    /// The unwinder's index of its functions: where it is loaded, and what it says.
    index: Option<(u64, Vec<u8>)>,
}

impl Modules {
    /// Finds what is loaded, and tells the unwinder how to unwind it. What cannot be read is unwound by frame pointers.
    pub(super) fn load(unwinder: &mut UnwinderX86_64<Vec<u8>>) -> Option<Modules> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let mut files: Vec<Loaded> = Vec::new();
        let mut code = Vec::new();
        // While others map and unmap, a line may be missing, or there twice.
        for part in maps.lines().filter_map(Part::read) {
            if part.executable {
                code.push(part.range.clone());
            }
            if part.path.starts_with('/') {
                match files.iter_mut().find(|file| file.path == part.path) {
                    Some(file) => file.add(&part),
                    None => files.extend(Loaded::beginning(&part)),
                }
            }
        }
        for module in &mut files {
            if let Some(module) = module.sections() {
                unwinder.add_module(module);
            }
        }
        Some(Modules { files, code })
    }

    /// Whether there is code at this address.
    pub(super) fn has(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// Where the function at this address begins, by the unwinder's index.
    pub(super) fn function(&self, address: u64) -> Option<u64> {
        let module = self
            .files
            .iter()
            .find(|module| module.range.contains(&address))?;
        let (header, index) = module.index.as_ref()?;
        // Version 1, a pointer and a count of four bytes each, then pairs of such, counted from the header: what every linker makes.
        if index.get(..4)? != [1, 0x1b, 0x03, 0x3b] {
            return None;
        }
        let entries = index.get(12..)?.chunks_exact(8);
        let begins = entries.map(|entry| {
            let begin = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            header.wrapping_add_signed(i64::from(begin))
        });
        begins.take_while(|begin| *begin <= address).last()
    }

    /// The functions at these addresses, by the symbol tables: each table is gone through once.
    pub(super) fn names(&self, addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
        let mut names = BTreeMap::new();
        for file in &self.files {
            let here: Vec<u64> = addresses.range(file.range.clone()).copied().collect();
            if !here.is_empty() {
                names.extend(file.names(&here).into_iter().flatten());
            }
        }
        names
    }

    /// An address as `addr2line -e FILE` takes it.
    pub(super) fn place(&self, address: u64) -> String {
        let module = self
            .files
            .iter()
            .find(|module| module.range.contains(&address));
        match module {
            Some(module) => {
                let file = module.path.rsplit('/').next().unwrap_or_default();
                format!("{file}+{:#x}", address - module.range.start)
            }
            None => format!("{address:#x}"),
        }
    }
}

/// One line of the map.
struct Part<'a> {
    range: Range<u64>,
    executable: bool,
    offset: u64,
    path: &'a str,
}

impl Part<'_> {
    fn read(line: &str) -> Option<Part<'_>> {
        // Five columns, then the path, which may have spaces.
        let mut columns = line.splitn(6, ' ');
        let (start, end) = columns.next()?.split_once('-')?;
        let executable = columns.next()?.contains('x');
        let offset = u64::from_str_radix(columns.next()?, 16).ok()?;
        let path = columns.nth(2).unwrap_or_default().trim_start();
        let hex = |text| u64::from_str_radix(text, 16).ok();
        Some(Part {
            range: hex(start)?..hex(end)?,
            executable,
            offset,
            path,
        })
    }
}

impl Loaded {
    /// A file's first part; `None` if that is not its beginning: then it is data.
    fn beginning(part: &Part<'_>) -> Option<Loaded> {
        let mut loaded = Loaded {
            path: part.path.to_owned(),
            range: part.range.clone(),
            code: 0..0,
            index: None,
        };
        loaded.add(part);
        Some(loaded).filter(|_| part.offset == 0)
    }

    fn add(&mut self, part: &Part<'_>) {
        self.range.end = self.range.end.max(part.range.end);
        if part.executable {
            self.code = match self.code.is_empty() {
                true => part.range.clone(),
                false => self.code.start..self.code.end.max(part.range.end),
            };
        }
    }

    /// Its file. The program's own may have been replaced since; this link still leads to the one that runs.
    fn open(&self) -> Option<File> {
        let program = std::fs::read_link("/proc/self/exe").ok();
        let file = match program.as_ref().and_then(|path| path.to_str()) {
            Some(program) if program == self.path => "/proc/self/exe",
            _ => &*self.path,
        };
        File::open(file).ok()
    }

    /// The functions at these addresses, which are sorted.
    fn names(&self, addresses: &[u64]) -> Option<Vec<(u64, String)>> {
        let cache = ReadCache::new(self.open()?);
        let object = object::File::parse(&cache).ok()?;
        let moved = self.range.start.wrapping_sub(beginning(&object)?);
        // For each address the last function that begins between the address before it and itself.
        let mut last: Vec<_> = addresses.iter().map(|_| None).collect();
        for symbol in object.symbols().chain(object.dynamic_symbols()) {
            let begin = symbol.address().wrapping_add(moved);
            let at = addresses.partition_point(|address| *address < begin);
            let Some(found) = last.get_mut(at) else {
                continue;
            };
            let nearer = found.as_ref().map_or(true, |(other, _)| *other < begin);
            if nearer && symbol.kind() == SymbolKind::Text && symbol.is_definition() {
                *found = Some((begin, symbol));
            }
        }
        let mut names = Vec::new();
        let mut function = None;
        for (address, last) in addresses.iter().zip(last) {
            // If none begins there, it is the same function as before.
            function = last.or(function);
            if let Some(name) = function
                .as_ref()
                .and_then(|(_, symbol)| symbol.name_bytes().ok())
            {
                names.push((*address, format!("{:#}", SymbolName::new(name))));
            }
        }
        Some(names)
    }

    /// What the unwinder must know of it.
    fn sections(&mut self) -> Option<Module<Vec<u8>>> {
        if self.code.is_empty() {
            return None;
        }
        let cache = ReadCache::new(self.open()?);
        let object = object::File::parse(&cache).ok()?;
        let section = |name: &str| {
            let section = object.section_by_name(name)?;
            let addresses = section.address()..section.address() + section.size();
            Some((addresses, section.data().ok()?.to_vec()))
        };
        let (eh_frame_svma, eh_frame) = section(".eh_frame").unzip();
        let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr").unzip();
        let text = object.section_by_name(".text");
        let base_svma = beginning(&object)?;
        self.index = eh_frame_hdr_svma.clone().zip(eh_frame_hdr.clone()).map(
            |(addresses, index): (Range<u64>, Vec<u8>)| {
                (self.range.start + addresses.start - base_svma, index)
            },
        );
        Some(Module::new(
            self.path.clone(),
            self.range.clone(),
            self.range.start,
            ExplicitModuleSectionInfo {
                base_svma,
                text_svma: text.map(|text| text.address()..text.address() + text.size()),
                eh_frame_svma,
                eh_frame,
                eh_frame_hdr_svma,
                eh_frame_hdr,
                ..Default::default()
            },
        ))
    }
}

/// The address that its first byte was linked to.
fn beginning<'a>(object: &impl Object<'a>) -> Option<u64> {
    let mut segments = object.segments();
    Some(
        segments
            .find(|segment| segment.file_range().0 == 0)?
            .address(),
    )
}

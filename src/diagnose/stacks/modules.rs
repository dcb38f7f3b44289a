//! The program and its libraries as they are loaded: from `/proc/self/maps` and their files, without the loader and its lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;

use backtrace::SymbolName;
use framehop::x86_64::UnwinderX86_64;
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder};
use object::elf::PF_X;
use object::{
    Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SegmentFlags, SymbolKind,
};

/// What is loaded where.
pub(super) struct Modules {
    files: Vec<Loaded>,
    /// Everything that can be executed, also what is of no file.
    code: Vec<Range<u64>>,
}

struct Loaded {
    path: String,
    /// What an address in the file lacks of the one in this process.
    bias: u64,
    /// All of its addresses.
    range: Range<u64>,
    /// The unwinder's index of its functions: where it is loaded, and what it says.
    index: Option<(u64, Vec<u8>)>,
}

impl Modules {
    /// Finds what is loaded, and tells the unwinder how to unwind it. What cannot be read is unwound by frame pointers.
    pub(super) fn load(unwinder: &mut UnwinderX86_64<Vec<u8>>) -> Option<Modules> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let mut files: Vec<Loaded> = Vec::new();
        let mut code = Vec::new();
        // While others map and unmap, a line may be missing, or there twice. Only code tells that a file is loaded: whoever reads its
        // symbols (as the printing of a backtrace does) has the same file mapped once more, as data.
        let parts = maps.lines().filter_map(Part::read);
        for part in parts.filter(|part| part.executable) {
            code.push(part.range.clone());
            if !part.path.starts_with('/') || files.iter().any(|file| file.holds(&part)) {
                continue;
            }
            if let Some((file, module)) = Loaded::read(&part) {
                files.push(file);
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
                format!("{file}+{:#x}", address.wrapping_sub(module.bias))
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
    fn holds(&self, part: &Part<'_>) -> bool {
        self.path == part.path && self.range.contains(&part.range.start)
    }

    /// The file of this code, and what the unwinder must know of it. `None` if it is no program and no library.
    fn read(part: &Part<'_>) -> Option<(Loaded, Module<Vec<u8>>)> {
        let cache = ReadCache::new(open(part.path)?);
        let object = object::File::parse(&cache).ok()?;
        let bias = bias(&object, part)?;
        let linked = object.segments().map(|segment| segment.address()).min()?;
        let ends = object.segments().map(|s| s.address() + s.size()).max()?;
        let range = linked.wrapping_add(bias)..ends.wrapping_add(bias);
        let section = |name: &str| {
            let section = object.section_by_name(name)?;
            let addresses = section.address()..section.address() + section.size();
            Some((addresses, section.data().ok()?.to_vec()))
        };
        let (eh_frame_svma, eh_frame) = section(".eh_frame").unzip();
        let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr").unzip();
        let text = object.section_by_name(".text");
        let index = eh_frame_hdr_svma.clone().zip(eh_frame_hdr.clone());
        let index = index.map(|(addresses, index): (Range<u64>, Vec<u8>)| {
            (addresses.start.wrapping_add(bias), index)
        });
        let module = Module::new(
            part.path.to_owned(),
            range.clone(),
            range.start,
            ExplicitModuleSectionInfo {
                base_svma: linked,
                text_svma: text.map(|text| text.address()..text.address() + text.size()),
                eh_frame_svma,
                eh_frame,
                eh_frame_hdr_svma,
                eh_frame_hdr,
                ..Default::default()
            },
        );
        let loaded = Loaded {
            path: part.path.to_owned(),
            bias,
            range,
            index,
        };
        Some((loaded, module))
    }

    /// The functions at these addresses, which are sorted. None for one that is in no function of the symbol tables: a library that was
    /// stripped has those only that others may call.
    fn names(&self, addresses: &[u64]) -> Option<Vec<(u64, String)>> {
        let cache = ReadCache::new(open(&self.path)?);
        let object = object::File::parse(&cache).ok()?;
        // For each address the last function that begins between the address before it and itself.
        let mut last: Vec<_> = addresses.iter().map(|_| None).collect();
        for symbol in object.symbols().chain(object.dynamic_symbols()) {
            let begin = symbol.address().wrapping_add(self.bias);
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
            let Some((begin, symbol)) = &function else {
                continue;
            };
            // Some that were written in assembly have no size.
            if symbol.size() > 0 && begin + symbol.size() <= *address {
                continue;
            }
            if let Ok(name) = symbol.name_bytes() {
                names.push((*address, format!("{:#}", SymbolName::new(name))));
            }
        }
        Some(names)
    }
}

/// A file that is loaded. The program's own may have been replaced since; this link still leads to the one that runs.
fn open(path: &str) -> Option<File> {
    let program = std::fs::read_link("/proc/self/exe").ok();
    let file = match program.as_ref().and_then(|path| path.to_str()) {
        Some(program) if program == path => "/proc/self/exe",
        _ => path,
    };
    File::open(file).ok()
}

/// What the addresses in the file lack of those at which this code of it is mapped. `None` if it is no code by what the file says.
fn bias<'a>(object: &impl Object<'a>, part: &Part<'_>) -> Option<u64> {
    const PAGE: u64 = 4096; // of x86-64
    let of_part = object.segments().find(|segment| {
        let (offset, size) = segment.file_range();
        // Segments share pages of the file, so the offset alone does not say which it is.
        let code = matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0);
        code && offset - offset % PAGE <= part.offset && part.offset < offset + size
    })?;
    let (offset, _) = of_part.file_range();
    let linked = of_part.address().wrapping_sub(offset);
    Some(
        part.range
            .start
            .wrapping_sub(linked.wrapping_add(part.offset)),
    )
}

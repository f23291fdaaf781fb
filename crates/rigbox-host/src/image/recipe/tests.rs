use super::*;

const SMALL: &str = r#"
description = "small"
suite = "bookworm"
method = "install"
packages = ["zlib1g", "bash"]
disk = { size_mib = 64, journal_mib = 4, bytes_per_inode = 16384 }
"#;

struct Recipes(tempfile::TempDir);

impl Recipes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn with(self, path: &str, content: &str) -> Self {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self
    }

    fn read(&self, name: &str) -> Result<Recipe, ImageError> {
        Recipe::read(self.dir(), &name.parse().unwrap())
    }
}

fn small() -> Recipes {
    Recipes::new().with("small/recipe.toml", SMALL)
}

#[test]
fn comments_and_order_change_no_digest() {
    let other = SMALL.replace(r#"["zlib1g", "bash"]"#, "[\"bash\", \"zlib1g\", \"bash\"] # why");
    let (one, two) = (small(), Recipes::new().with("small/recipe.toml", &other));
    let (one, two) = (one.read("small").unwrap(), two.read("small").unwrap());
    assert_eq!(one.packages_digest(), two.packages_digest());
    assert_eq!(one.digest(&[]), two.digest(&[]));
}

#[test]
fn files_and_programs_change_the_image_but_not_the_packages() {
    let plain = small().read("small").unwrap();
    let filed = small().with("small/files/etc/motd", "hello").read("small").unwrap();
    assert_eq!(plain.packages_digest(), filed.packages_digest());
    assert_ne!(plain.digest(&[]), filed.digest(&[]));
    assert_ne!(plain.digest(&[]), plain.digest(&["a".to_owned()]));
}

#[test]
fn a_package_and_a_hook_change_the_packages() {
    let plain = small().read("small").unwrap();
    let more = SMALL.replace("\"bash\"]", "\"bash\", \"less\"]");
    let more = Recipes::new().with("small/recipe.toml", &more).read("small").unwrap();
    assert_ne!(plain.packages_digest(), more.packages_digest());
    let hooked = format!("hook = \"hook.sh\"\n{SMALL}");
    let hooked = Recipes::new().with("small/recipe.toml", &hooked).with("small/hook.sh", "true");
    assert_ne!(plain.packages_digest(), hooked.read("small").unwrap().packages_digest());
}

#[test]
fn a_recipe_has_what_it_extends() {
    let recipes = small()
        .with("small/files/etc/motd", "small")
        .with("small/files/etc/issue", "small")
        .with("large/files/etc/motd", "large")
        .with(
            "large/recipe.toml",
            "description = \"large\"\nextends = \"small\"\npackages = [\"gdb\"]\n\
             mask.units = [\"a.service\"]",
        );
    let large = recipes.read("large").unwrap();
    assert_eq!(large.packages, ["bash", "gdb", "zlib1g"]);
    assert_eq!(large.suite, "bookworm");
    let file = |path: &str| large.files.get(Utf8Path::new(path)).unwrap().content.clone();
    assert_eq!((file("/etc/motd"), file("/etc/issue")), (b"large".to_vec(), b"small".to_vec()));
    let mask = large.links.get(Utf8Path::new("/etc/systemd/system/a.service"));
    assert_eq!(mask.map(String::as_str), Some("/dev/null"));
}

#[test]
fn what_is_not_sound_is_refused_with_its_field() {
    for (change, field) in [
        ("suite = \"../sid\"", "suite"),
        ("packages = [\"a b\"]", "packages"),
        ("packages = [\"-o=Dir::Etc=/x\"]", "packages"),
        ("packages = []", "packages"),
        ("remove = [\"/etc/../..\"]", "path"),
        ("remove = [\"etc\"]", "path"),
        ("remove = [\"/\"]", "path"),
        ("exclude = [\"/a'; rm\"]", "exclude"),
        ("owners = [{ path = \"/a\", mode = \"9\" }]", "owners.mode"),
        ("colour = \"red\"", "colour"),
        ("disk = { size_mib = 8, journal_mib = 4, bytes_per_inode = 16384 }", "disk"),
        ("extends = \"small\"", "extends"),
    ] {
        let key = change.split_once(' ').unwrap().0;
        let kept: String =
            SMALL.lines().filter(|line| !line.starts_with(key)).map(|l| format!("{l}\n")).collect();
        let text = format!("{kept}{change}\n");
        let refused = Recipes::new().with("small/recipe.toml", &text).read("small").unwrap_err();
        let reason = std::error::Error::source(&refused).unwrap().to_string();
        assert!(reason.contains(field), "{change}: {reason}");
    }
}

#[test]
fn a_recipe_that_is_not_there_is_named() {
    let refused = small().read("huge").unwrap_err();
    assert!(matches!(&refused, ImageError::UnknownRecipe { name, .. } if name.as_str() == "huge"));
}

#[test]
fn the_recipes_of_this_repository_are_sound() {
    let dir = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
    for name in ["base", "dev", "tiny"] {
        let recipe = Recipe::read(&dir, &name.parse().unwrap()).unwrap();
        assert!(recipe.programs.agent.is_some(), "{name} has no agent");
    }
}

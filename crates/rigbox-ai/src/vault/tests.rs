use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use rigbox_store::{
    Store, StoreUrl, SystemClock,
    accounts::{Preferences, Profile},
    ai::KeyChange,
};
use rigbox_types::{AccountId, Quotas};

use super::*;

struct World {
    dir: tempfile::TempDir,
    store: Store,
    place: AiKeyPlace,
}

impl World {
    /// A store with a key at each provider, and a vault that has encrypted them.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("store.db")).unwrap();
        let store = Store::open(&StoreUrl::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
        let account = AccountId::from_random([1; 16]);
        let profile = Profile {
            email: None,
            display_name: None,
            plan: "operator".parse().unwrap(),
            overrides: Quotas::default(),
            disabled_at: None,
            preferences: Preferences::default(),
        };
        store.accounts().insert_user(account, &profile, None).await.unwrap();
        let world = Self { dir, store, place: AiKeyPlace { account, workspace: None } };
        let sealing = Vault::open(world.folder()).unwrap().sealing().unwrap();
        let keys: Vec<KeyChange> = AiProvider::ALL
            .into_iter()
            .map(|provider| KeyChange::Put {
                provider,
                sealed: sealing.seal(&world.place, provider, &secret(provider)).unwrap(),
                preview: String::new(),
            })
            .collect();
        world.store.ai().account_change(account, &keys, |_| {}).await.unwrap();
        world
    }

    fn folder(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).unwrap()
    }

    /// All keys are what they were, to a vault that was opened before and to a new one.
    async fn check(&self, before: &Vault) {
        let rows = self.store.ai().keys_after(None, 100).await.unwrap();
        assert_eq!(rows.len(), AiProvider::ALL.len());
        for vault in [before, &Vault::open(self.folder()).unwrap()] {
            for row in &rows {
                let key = vault.unseal(&row.place, row.provider, &row.sealed).unwrap();
                assert_eq!(key.expose_secret(), secret(row.provider).expose_secret());
            }
        }
    }

    async fn generations(&self) -> Vec<u32> {
        let rows = self.store.ai().keys_after(None, 100).await.unwrap();
        rows.iter().map(|row| generation_of(&row.sealed).unwrap()).collect()
    }
}

fn secret(provider: AiProvider) -> SecretString {
    SecretString::from(format!("sk-{}-0123456789abcdef", provider.as_str()))
}

#[tokio::test]
async fn a_key_is_decrypted_for_its_place_and_provider_alone() {
    let world = World::new().await;
    let vault = Vault::open(world.folder()).unwrap();
    world.check(&vault).await;
    let sealing = vault.sealing().unwrap();
    let sealed =
        sealing.seal(&world.place, AiProvider::Openai, &secret(AiProvider::Openai)).unwrap();
    let refused = |place: &AiKeyPlace, provider, sealed: &SealedKey| {
        let error = vault.unseal(place, provider, sealed).err().unwrap();
        assert!(matches!(error, VaultError::Open { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("sk-"));
    };
    refused(&world.place, AiProvider::Google, &sealed);
    let other = AiKeyPlace { account: AccountId::from_random([2; 16]), workspace: None };
    refused(&other, AiProvider::Openai, &sealed);
    let workspace = Some("ws-aaaaaaaa".parse().unwrap());
    refused(&AiKeyPlace { workspace, ..world.place.clone() }, AiProvider::Openai, &sealed);
    for cut in 0..sealed.0.len() {
        let cut = SealedKey(sealed.0.iter().copied().take(cut).collect());
        refused(&world.place, AiProvider::Openai, &cut);
    }
    let again =
        sealing.seal(&world.place, AiProvider::Openai, &secret(AiProvider::Openai)).unwrap();
    assert_ne!(again, sealed, "a nonce is used once");
}

#[tokio::test]
async fn a_rotation_gives_every_row_the_new_key_and_forgets_the_old_one() {
    let world = World::new().await;
    let vault = Vault::open(world.folder()).unwrap();
    let rotated = rotate(&world.store, world.folder()).await.unwrap();
    assert_eq!(rotated, Rotated { generation: 2, rows: 5 });
    assert_eq!(world.generations().await, [2; 5]);
    assert_eq!(Generations::read(world.folder()).unwrap().len(), 1);
    world.check(&vault).await;
    assert_eq!(rotate(&world.store, world.folder()).await.unwrap().generation, 3);
    world.check(&vault).await;
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_loses_nothing_and_is_gone_on_with() {
    let world = World::new().await;
    let vault = Vault::open(world.folder()).unwrap();
    // Killed behind the file.
    assert_eq!(rotate::begin(world.folder()).unwrap(), 2);
    world.check(&vault).await;
    // Killed between two rows.
    rotate::encrypt_anew(&world.store, world.folder(), 2).await.unwrap();
    let generations = world.generations().await;
    assert!(generations.contains(&1) && generations.contains(&2), "{generations:?}");
    world.check(&vault).await;
    // Killed before the old key is gone.
    assert_eq!(
        rotate::begin(world.folder()).unwrap(),
        2,
        "the new key is the one that was begun with"
    );
    rotate::encrypt_anew(&world.store, world.folder(), u64::MAX).await.unwrap();
    world.check(&vault).await;
    assert_eq!(
        rotate(&world.store, world.folder()).await.unwrap(),
        Rotated { generation: 2, rows: 0 }
    );
    assert_eq!(Generations::read(world.folder()).unwrap().len(), 1);
    world.check(&vault).await;
}

#[tokio::test]
async fn nobody_encrypts_while_keys_are_rotated() {
    let world = World::new().await;
    let vault = Vault::open(world.folder()).unwrap();
    let rotating = Lock::exclusive(world.folder()).unwrap();
    assert!(matches!(vault.sealing().err().unwrap(), VaultError::Rotating));
    world.check(&vault).await;
    assert!(matches!(hold(world.folder()).err().unwrap(), VaultError::Rotating));
    drop(rotating);
    let held = hold(world.folder()).unwrap();
    assert!(vault.sealing().is_ok(), "a backup keeps nobody from setting keys");
    drop(held);
    let (one, two) = (vault.sealing().unwrap(), vault.sealing().unwrap());
    drop((one, two));
}

#[test]
fn a_file_that_is_not_one_of_ours_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(dir.path()).unwrap();
    Vault::open(folder).unwrap();
    let path = file::path(folder);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in ["", "1 ab\n", "\n", &good.replace(' ', ""), &format!("{good}{good}")] {
        std::fs::write(&path, bad).unwrap();
        let error = Vault::open(folder).err().unwrap();
        assert!(matches!(error, VaultError::Form { .. }), "{bad:?} {error:?}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Vault::open(folder).err().unwrap(), VaultError::Exposed { .. }));
}

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability, Repository, Tag,
};

use crate::support::{Aws, aws, refused};

const POLICY: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
    "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]}"#;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

fn encrypted(by: EncryptionType, key: Option<&str>) -> EncryptionConfiguration {
    EncryptionConfiguration::builder().encryption_type(by).set_kms_key(key.map(str::to_owned)).build().unwrap()
}

impl Aws {
    async fn repository(&self, name: &str) -> Repository {
        self.ecr.create_repository().repository_name(name).send().await.unwrap().repository.unwrap()
    }

    async fn push(&self, name: &str, tag: &str, manifest: &str) {
        let push = self.ecr.put_image().repository_name(name).image_tag(tag).image_manifest(manifest);
        push.send().await.unwrap();
    }
}

#[tokio::test]
async fn a_repository_is_what_was_asked_for() {
    let aws = aws();
    let made = aws
        .ecr
        .create_repository()
        .repository_name("team/app")
        .image_tag_mutability(ImageTagMutability::Immutable)
        .image_scanning_configuration(ImageScanningConfiguration::builder().scan_on_push(true).build())
        .encryption_configuration(encrypted(EncryptionType::Kms, None))
        .tags(tag("a", "b"));
    let made = made.send().await.unwrap().repository.unwrap();
    let found = aws.ecr.describe_repositories().repository_names("team/app").send().await.unwrap();
    assert_eq!(found.repositories(), std::slice::from_ref(&made));
    assert_eq!(made.repository_arn(), Some("arn:aws:ecr:us-east-1:123456789012:repository/team/app"));
    assert_eq!(made.repository_uri(), Some("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app"));
    assert_eq!(made.registry_id(), Some("123456789012"));
    assert_eq!(made.image_tag_mutability(), Some(&ImageTagMutability::Immutable));
    assert!(made.image_scanning_configuration().unwrap().scan_on_push());
    let key = made.encryption_configuration().unwrap().kms_key().unwrap();
    assert!(key.starts_with("arn:aws:kms:"), "AWS's own key is named: {key}");
    let tags = aws.ecr.list_tags_for_resource().resource_arn(made.repository_arn().unwrap()).send().await.unwrap();
    assert_eq!(tags.tags(), [tag("a", "b")]);
}

#[tokio::test]
async fn a_name_is_taken_once_and_has_a_form() {
    let aws = aws();
    aws.repository("app").await;
    let create = |name: &str| aws.ecr.create_repository().repository_name(name).send();
    let taken = refused(create("app").await, "RepositoryAlreadyExistsException");
    assert_eq!(taken, "The repository with name 'app' already exists in the registry with id '123456789012'");
    for bad in ["a", "App", "a--b", "-app", "team//app", "a b"] {
        refused(create(bad).await, "InvalidParameterException");
    }
}

#[tokio::test]
async fn unknown_repositories_are_refused() {
    let aws = aws();
    let code = "RepositoryNotFoundException";
    refused(aws.ecr.describe_repositories().repository_names("none").send().await, code);
    refused(aws.ecr.delete_repository().repository_name("none").send().await, code);
    refused(aws.ecr.list_images().repository_name("none").send().await, code);
    refused(aws.ecr.describe_images().repository_name("none").send().await, code);
    refused(aws.ecr.get_lifecycle_policy().repository_name("none").send().await, code);
    let put = aws.ecr.put_lifecycle_policy().repository_name("none").lifecycle_policy_text(POLICY);
    refused(put.send().await, code);
    let arn = "arn:aws:ecr:us-east-1:123456789012:repository/none";
    refused(aws.ecr.list_tags_for_resource().resource_arn(arn).send().await, code);
    assert!(aws.ecr.describe_repositories().send().await.unwrap().repositories().is_empty());
}

#[tokio::test]
async fn a_repository_with_images_is_deleted_by_force_only() {
    let aws = aws();
    aws.repository("app").await;
    aws.push("app", "v1", "one").await;
    aws.push("app", "latest", "one").await;
    aws.push("app", "v2", "two").await;
    let listed = aws.ecr.list_images().repository_name("app").send().await.unwrap();
    let mut tags: Vec<_> = listed.image_ids().iter().filter_map(|id| id.image_tag()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["latest", "v1", "v2"]);
    let page = aws.ecr.list_images().repository_name("app").max_results(2).send().await.unwrap();
    let rest =
        aws.ecr.list_images().repository_name("app").next_token(page.next_token().unwrap()).send().await.unwrap();
    assert_eq!((page.image_ids().len(), rest.image_ids().len(), rest.next_token()), (2, 1, None));
    assert_eq!(aws.ecr.describe_images().repository_name("app").send().await.unwrap().image_details().len(), 2);
    let delete = || aws.ecr.delete_repository().repository_name("app");
    refused(delete().send().await, "RepositoryNotEmptyException");
    delete().force(true).send().await.unwrap();
    assert_eq!(aws.sandbox.world().await.resources, []);
}

#[tokio::test]
async fn a_tag_that_is_immutable_stays() {
    let aws = aws();
    let made = aws.ecr.create_repository().repository_name("app").image_tag_mutability(ImageTagMutability::Immutable);
    made.send().await.unwrap();
    aws.push("app", "v1", "one").await;
    let moved = aws.ecr.put_image().repository_name("app").image_tag("v1").image_manifest("two");
    refused(moved.send().await, "ImageTagAlreadyExistsException");
}

#[tokio::test]
async fn a_lifecycle_policy_is_put_read_and_deleted() {
    let aws = aws();
    aws.repository("app").await;
    let none = "LifecyclePolicyNotFoundException";
    refused(aws.ecr.get_lifecycle_policy().repository_name("app").send().await, none);
    refused(aws.ecr.delete_lifecycle_policy().repository_name("app").send().await, none);
    let put = |text: &str| aws.ecr.put_lifecycle_policy().repository_name("app").lifecycle_policy_text(text).send();
    put(POLICY).await.unwrap();
    let read = aws.ecr.get_lifecycle_policy().repository_name("app").send().await.unwrap();
    assert_eq!(read.lifecycle_policy_text(), Some(POLICY));
    for bad in ["{", "{}", &POLICY.replace("expire", "keep"), &POLICY.replace("10", "0")] {
        let message = refused(put(bad).await, "InvalidParameterException");
        assert!(message.contains("Lifecycle policy validation failure"), "{message}");
    }
    aws.ecr.delete_lifecycle_policy().repository_name("app").send().await.unwrap();
    refused(aws.ecr.get_lifecycle_policy().repository_name("app").send().await, none);
}

#[tokio::test]
async fn the_key_of_a_repository_must_be_there() {
    let aws = aws();
    let create = |by, key: Option<&str>| {
        let create = aws.ecr.create_repository().repository_name("app");
        create.encryption_configuration(encrypted(by, key)).send()
    };
    refused(create(EncryptionType::Kms, Some("alias/none")).await, "KmsException");
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    refused(create(EncryptionType::Aes256, Some(key.key_id())).await, "InvalidParameterException");
    let made = create(EncryptionType::Kms, Some(key.key_id())).await.unwrap().repository.unwrap();
    assert_eq!(made.encryption_configuration().unwrap().kms_key(), key.arn());
}

#[tokio::test]
async fn tags_of_a_repository_are_kept_added_and_taken_away() {
    let aws = aws();
    let made = aws.ecr.create_repository().repository_name("app").tags(tag("a", "1")).send().await.unwrap();
    let arn = made.repository.unwrap().repository_arn.unwrap();
    aws.ecr.tag_resource().resource_arn(&arn).tags(tag("b", "2")).send().await.unwrap();
    aws.ecr.untag_resource().resource_arn(&arn).tag_keys("a").send().await.unwrap();
    let tags = aws.ecr.list_tags_for_resource().resource_arn(&arn).send().await.unwrap();
    assert_eq!(tags.tags(), [tag("b", "2")]);
    let create = |tag| aws.ecr.create_repository().repository_name("other").tags(tag).send();
    refused(create(tag("aws:a", "1")).await, "InvalidTagParameterException");
    let many = (0..50).map(|n| tag(&format!("k{n}"), "v")).collect();
    refused(aws.ecr.tag_resource().resource_arn(&arn).set_tags(Some(many)).send().await, "TooManyTagsException");
}

"""The places that the chat domain writes about, as a plain table.

Sentences are written for a very small model: everyday words that come back from table to table. `{name}` stands for
the person of a story.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a writing prompt is about; every scene mentions each group of `mentions`."""

    topic: str
    mentions: list[list[str]]
    scenes: list[str]
    events: list[str]
    ends: list[str]


PLACES = [
    Place(
        topic="a rainy harbour",
        mentions=[["harbour"], ["rain", "rainy"]],
        scenes=[
            "The rain falls on the old harbour.",
            "Grey rain comes down over the harbour and the little boats.",
            "It is a rainy morning in the harbour, and the boats are wet.",
            "The harbour is empty because of the cold rain.",
        ],
        events=[
            "{name} pulls a small boat to the wall and ties a rope.",
            "A gull sits on a post and waits for fish.",
            "{name} walks past the nets and looks for a dry place.",
            "The waves push the boats from side to side.",
        ],
        ends=[
            "In the evening a lamp shines at the end of the pier.",
            "Then {name} goes home and drinks hot tea.",
            "At last the clouds move away over the sea.",
        ],
    ),
    Place(
        topic="a snowy hill",
        mentions=[["hill"], ["snow", "snowy"]],
        scenes=[
            "The hill is white with fresh snow.",
            "Soft snow lies on the hill and on the trees.",
            "It is a snowy day, and the hill is cold and bright.",
            "Deep snow covers the path up the hill.",
        ],
        events=[
            "{name} pulls a red sled to the top.",
            "A small bird leaves its steps on the white ground.",
            "{name} makes a big snowman with a carrot nose.",
            "The wind blows white dust from the trees.",
        ],
        ends=[
            "In the evening the windows of the village shine.",
            "Then {name} goes home and warms both hands by the fire.",
            "At last the moon comes up over the trees.",
        ],
    ),
    Place(
        topic="an old library",
        mentions=[["library"], ["book", "books"]],
        scenes=[
            "The old library is full of big brown books.",
            "Dust lies on the books in the old library.",
            "It is warm in the old library, and the books smell of paper.",
            "In the old library the books reach up to the roof.",
        ],
        events=[
            "{name} climbs a ladder and finds a map.",
            "A grey cat sleeps on a chair by the window.",
            "{name} opens a thick story and reads about the sea.",
            "The clock on the wall ticks all day long.",
        ],
        ends=[
            "In the evening someone turns off the lamps one by one.",
            "Then {name} takes one story home.",
            "At last the big door closes with a click.",
        ],
    ),
    Place(
        topic="a busy market",
        mentions=[["market"], ["busy", "people", "crowd"]],
        scenes=[
            "The market is busy from early morning.",
            "Many people walk through the busy market.",
            "It is a busy day in the market, and the bread is still warm.",
            "A crowd of people fills the market in the old town.",
        ],
        events=[
            "{name} buys red apples and a piece of cheese.",
            "A woman sells fish from a blue box.",
            "{name} looks for fresh bread and finds a cake.",
            "A dog waits under the table for something to eat.",
        ],
        ends=[
            "In the evening only a few boxes are left.",
            "Then {name} carries a full basket home.",
            "At last the shops close and the square is empty.",
        ],
    ),
    Place(
        topic="a green forest",
        mentions=[["forest"], ["green", "tree", "trees"]],
        scenes=[
            "The forest is green and full of birds.",
            "Tall trees stand close together in the forest.",
            "It is a warm day in the green forest, and the light is soft.",
            "A small path goes through the green forest.",
        ],
        events=[
            "{name} follows a path and hears a bird.",
            "A deer looks up and then walks away.",
            "{name} finds a mushroom under an old oak.",
            "The leaves move in the wind.",
        ],
        ends=[
            "In the evening an owl wakes up and looks around.",
            "Then {name} walks home along the river.",
            "At last the sun goes down behind the hills.",
        ],
    ),
    Place(
        topic="a sunny garden",
        mentions=[["garden"], ["sun", "sunny"]],
        scenes=[
            "The sun shines on the garden and the red roses.",
            "The sunny garden is full of flowers and bees.",
            "It is a sunny morning in the garden, and the grass is wet.",
            "Bright sun falls on every corner of the garden.",
        ],
        events=[
            "{name} waters the roses with a green can.",
            "A bee flies from flower to flower.",
            "{name} picks a ripe tomato and smells it.",
            "A cat sleeps under the apple tree.",
        ],
        ends=[
            "In the evening the flowers close again.",
            "Then {name} sits down on the bench to rest.",
            "At last a cool wind comes over the wall.",
        ],
    ),
    Place(
        topic="a night train",
        mentions=[["train"], ["night"]],
        scenes=[
            "The train runs through the dark night.",
            "At night the long train leaves the town.",
            "It is late at night, and the train is almost empty.",
            "The night is black behind the windows of the train.",
        ],
        events=[
            "{name} looks out of the window and counts the lights.",
            "A man in a blue coat checks the tickets.",
            "{name} sleeps on a warm seat by the door.",
            "The wheels sing on the rails.",
        ],
        ends=[
            "In the morning the sea lies behind the window.",
            "Then {name} picks up a bag and gets off.",
            "At last the first station comes into view.",
        ],
    ),
    Place(
        topic="a small bakery",
        mentions=[["bakery"], ["bread", "cake", "cakes"]],
        scenes=[
            "The small bakery smells of warm bread.",
            "Fresh bread lies in the window of the small bakery.",
            "It is early in the small bakery, and the bread is in the oven.",
            "The small bakery sells bread and sweet cakes.",
        ],
        events=[
            "{name} takes a hot tray out of the oven.",
            "A child looks at a cake with red berries.",
            "{name} puts sugar and butter into a big bowl.",
            "A long line of people waits at the door.",
        ],
        ends=[
            "In the evening every shelf is empty.",
            "Then {name} cleans the table and turns off the light.",
            "At last the baker sits down with a cup of tea.",
        ],
    ),
    Place(
        topic="a windy beach",
        mentions=[["beach"], ["wind", "windy"]],
        scenes=[
            "The wind blows over the long beach.",
            "A strong wind throws sand across the beach.",
            "It is a windy day on the beach, and the waves are high.",
            "The beach is windy and almost empty.",
        ],
        events=[
            "{name} flies a yellow kite over the waves.",
            "A crab runs back into the water.",
            "{name} holds a hat with both hands.",
            "White waves roll over the stones.",
        ],
        ends=[
            "In the evening the sand is smooth again.",
            "Then {name} takes a shell home.",
            "At last the sun sinks into the sea.",
        ],
    ),
    Place(
        topic="a mountain lake",
        mentions=[["lake"], ["mountain", "mountains"]],
        scenes=[
            "The lake lies high up in the mountains.",
            "A blue lake shines between the mountains.",
            "It is a clear morning, and the mountains stand around the lake.",
            "The water of the mountain lake is cold and clear.",
        ],
        events=[
            "{name} rows a small boat to the other side.",
            "A fish jumps out of the water.",
            "{name} throws a flat stone over the water.",
            "Two ducks swim along the shore.",
        ],
        ends=[
            "In the evening the stars shine on the water.",
            "Then {name} makes a fire and cooks soup.",
            "At last the clouds hide the tops.",
        ],
    ),
    Place(
        topic="a lost dog",
        mentions=[["dog"], ["lost", "way home"]],
        scenes=[
            "A lost dog stands at the corner of the street.",
            "A little brown dog is lost in the big town.",
            "It is late, and a dog cannot find the way home.",
            "A lost dog runs from door to door.",
        ],
        events=[
            "{name} stops and gives it some water.",
            "It sniffs at every tree and every gate.",
            "{name} reads the name on its collar.",
            "A boy on a red bike rings his bell.",
        ],
        ends=[
            "In the evening it sleeps in its own bed again.",
            "Then {name} brings it back to its family.",
            "At last it hears a voice that it knows.",
        ],
    ),
    Place(
        topic="an empty house",
        mentions=[["house"], ["empty", "nobody"]],
        scenes=[
            "The empty house stands at the end of the road.",
            "Nobody lives in the old house on the hill.",
            "It is cold in the empty house, and the floor is bare.",
            "The house is empty, and the windows are dark.",
        ],
        events=[
            "{name} opens the door and looks inside.",
            "A mouse runs across the kitchen floor.",
            "{name} finds an old letter under the stairs.",
            "The wind moves a broken door.",
        ],
        ends=[
            "In the evening the moon looks in at the window.",
            "Then {name} locks the door and walks away.",
            "At last a new family brings in tables and chairs.",
        ],
    ),
    Place(
        topic="a summer festival",
        mentions=[["festival"], ["summer"]],
        scenes=[
            "The summer festival begins in the village square.",
            "Paper lamps hang over the summer festival.",
            "It is a warm summer night, and the festival is full of music.",
            "Every summer the village has a big festival.",
        ],
        events=[
            "{name} dances in a green dress.",
            "A band plays an old song on the stage.",
            "{name} eats a sweet cake with berries.",
            "Children run between the tables.",
        ],
        ends=[
            "In the night the last lamp goes out.",
            "Then {name} walks home under the stars.",
            "At last the band plays one more song.",
        ],
    ),
    Place(
        topic="an autumn park",
        mentions=[["park"], ["autumn", "leaf", "leaves"]],
        scenes=[
            "The park is red and gold in autumn.",
            "Autumn leaves cover the paths in the park.",
            "It is an autumn morning in the park, and the air is cold.",
            "Yellow leaves fall from the trees in the park.",
        ],
        events=[
            "{name} sits on a bench and feeds the ducks.",
            "A squirrel hides a nut under a tree.",
            "{name} kicks the leaves and picks up a nut.",
            "An old man plays chess by the pond.",
        ],
        ends=[
            "In the evening the lamps shine along the path.",
            "Then {name} puts on a coat and goes home.",
            "At last the wind takes the last leaf.",
        ],
    ),
    Place(
        topic="a quiet farm",
        mentions=[["farm"], ["quiet", "silent"]],
        scenes=[
            "The farm is quiet in the early morning.",
            "It is a quiet day on the farm, and the cows eat grass.",
            "The quiet farm lies between two green fields.",
            "The old farm is silent under a blue sky.",
        ],
        events=[
            "{name} brings water to the horses.",
            "A brown hen sits on three eggs.",
            "{name} opens the gate for the sheep.",
            "A dog sleeps in front of the barn.",
        ],
        ends=[
            "In the evening the cows come back to the barn.",
            "Then {name} closes the gate and eats soup.",
            "At last the sun goes down behind the fields.",
        ],
    ),
    Place(
        topic="a stormy sea",
        mentions=[["sea"], ["storm", "stormy"]],
        scenes=[
            "The sea is black under the storm.",
            "A big storm comes over the sea.",
            "It is a stormy night, and the sea is wild.",
            "The stormy sea throws the ship up and down.",
        ],
        events=[
            "{name} holds the wheel of the ship with both hands.",
            "A white flash lights up the clouds.",
            "{name} sees a light far away on the rocks.",
            "High waves roll over the deck.",
        ],
        ends=[
            "In the morning the water is smooth again.",
            "Then {name} sees land and thanks the stars.",
            "At last the ship comes into the harbour.",
        ],
    ),
]
